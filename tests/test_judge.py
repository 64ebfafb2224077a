"""Two sides are held against each other; what may differ follows from what either is known to do."""

from dataclasses import replace

import pytest

from kvref.errors import ConfigurationError, UserError
from kvref.judge import Terms, judge
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Trace,
)
from kvref.replay import replay
from kvref.targets.base import run_case
from kvref.targets.capabilities import everything
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.picture import Opener, Session
from kvref.targets.reference import ReferenceSession
from tests.fuzz.faults import CountsAQueryTooMany, FreesInReverse

PLAIN = Configuration((FullGroup(4),), 9, 64, 4, 4)
FREES = Trace(
    PLAIN,
    (
        NewRequest("r", tuple(range(9))),
        NewStep(),
        Lookup("r"),
        Allocate("r", 0, 9, hit=0),
        NewStep(),
        Free("r"),
    ),
)
FREE = 5


def entry(name: str, *kinds: type[Operation], insides: bool = False) -> Deviation:
    """An entry that recognises these operations, maybe by the reference's insides."""

    def recognises(situation: Situation) -> bool:
        if insides:
            assert type(situation.session) is ReferenceSession
        return isinstance(situation.operation, kinds)

    return Deviation(name, "", (), Verdict.COSMETIC, "", lambda _: True, recognises)


def side(name: str, opener: Opener, *catalogue: Deviation) -> InProcessTarget:
    target = InProcessTarget(name, opener)
    target.catalogue = catalogue
    return target


def replayed(target: InProcessTarget, terms: Terms) -> tuple[int, str | None, bool]:
    agreed, known, finding = replay(ReferenceSession, target, FREES, terms)
    return agreed, known.id if known else None, finding is not None


def test_the_other_target_is_what_is_expected() -> None:
    both = side("mine", FreesInReverse), Terms(side("theirs", FreesInReverse))
    assert replayed(*both) == (6, None, False)
    agreed, _, finding = replay(ReferenceSession, both[0], FREES, Terms(side("theirs", ReferenceSession)))
    assert agreed == FREE
    assert finding is not None
    (queue,) = finding.differences
    assert (queue.what, queue.expected) == ("free queue", "[4, 5, 6, 7, 8, 3, 2, 1]")
    turned = replay(ReferenceSession, side("mine", ReferenceSession), FREES, both[1]).finding
    assert turned is not None
    assert (turned.differences[0].expected, turned.differences[0].actual) == (queue.actual, queue.expected)


def test_what_either_side_is_known_to_do_explains_a_difference() -> None:
    mine, theirs = entry("mine", Free), entry("theirs", Free)
    faulty, sound = side("faulty", FreesInReverse, mine), side("sound", ReferenceSession, theirs)
    assert replayed(faulty, Terms(side("plain", ReferenceSession))) == (FREE, "mine", True)
    assert replayed(side("plain", FreesInReverse), Terms(sound)) == (FREE, "theirs", True)


def test_what_both_are_known_to_do_explains_none() -> None:
    shared = entry("shared", Free)
    faulty, sound = side("faulty", FreesInReverse, shared), side("sound", ReferenceSession, shared)
    assert replayed(faulty, Terms(sound)) == (FREE, None, True)


def test_entries_that_read_the_reference_are_asked_only_where_it_shows_the_same() -> None:
    class Both(FreesInReverse, CountsAQueryTooMany):
        """Has left the reference at the lookup, and differs from the other side later."""

    theirs = Terms(side("theirs", CountsAQueryTooMany))
    insides = entry("insides", Free, insides=True)
    assert replayed(side("mine", Both, insides), theirs) == (FREE, None, True)
    assert replayed(side("mine", FreesInReverse, insides), Terms(side("plain", ReferenceSession))) == (
        FREE,
        "insides",
        True,
    )


def test_the_users_entries_are_asked_there_too_with_what_the_other_side_shows() -> None:
    class Both(FreesInReverse, CountsAQueryTooMany):
        pass

    seen: list[Session] = []

    def recognises(situation: Situation) -> bool:
        seen.append(situation.session)
        return isinstance(situation.operation, Free)

    mine = Deviation("mine", "", (), Verdict.COSMETIC, "", lambda _: True, recognises)
    terms = Terms(side("theirs", CountsAQueryTooMany), (mine,))
    assert replayed(side("both", Both), terms) == (FREE, "mine", True)
    (session,) = seen
    stats = session.view().stats
    assert isinstance(session, CountsAQueryTooMany)
    assert stats is not None
    assert stats[2] == 10  # nine tokens, and the one too many


def test_a_configuration_that_the_reference_refuses_may_be_compared() -> None:
    def refusing(configuration: Configuration) -> Session:
        raise ConfigurationError(str(configuration))

    target, other = side("mine", FreesInReverse), side("theirs", ReferenceSession)
    expected, actual = run_case(ReferenceSession, FREES), run_case(FreesInReverse, FREES)
    catalogue: Catalogue = (entry("of the reference", Free),)
    target.catalogue = catalogue
    judgement = judge(refusing, target, FREES, expected, actual, Terms(other))
    assert (judgement.agreed, judgement.known, judgement.finding is not None) == (FREE, None, True)


def test_what_a_side_cannot_be_asked_is_bad_input() -> None:
    other = side("theirs", ReferenceSession)
    other.capabilities = replace(everything("0.1"), operations=frozenset({"NewRequest"}))
    with pytest.raises(UserError, match=r"^theirs cannot be asked: 0.1 has no NewStep$"):
        replayed(side("mine", ReferenceSession), Terms(other))
