"""A campaign holds two targets against each other; its cases are drawn on the one that is expected."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kvref.errors import UserError
from kvref.fuzz.campaign import Report, Settings, run
from kvref.fuzz.cases import draw_case
from kvref.judge import Terms
from kvref.operations import Allocate, ContinueRequest, Evict, Lookup, Observation, Operation, Trace
from kvref.targets.base import CaseResult, run_case
from kvref.targets.capabilities import Capabilities, everything
from kvref.targets.deviations import Deviation, Verdict
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from tests.fuzz.faults import CountsAQueryTooMany, FreesInReverse, HitsTheLastToken, TellsNoRemovals

SMALL = replace(
    everything("0.1"),
    groups=frozenset({"full", "mla"}),
    operations=everything("").operations - {"Evict", "ContinueRequest"},
    arguments=frozenset({"encoder", "lookahead"}),
    retention=False,
    is_sound=False,
)


class Recording(InProcessTarget):
    """Keeps what it was asked."""

    def __init__(self, opener: Opener, capabilities: Capabilities | None = None) -> None:
        super().__init__("mine", opener)
        self.capabilities = capabilities or self.capabilities
        self.asked: list[Trace] = []

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        self.asked += traces
        return super().run(traces)


def campaign(target: InProcessTarget, other: InProcessTarget, cases: int = 40, *known: Deviation) -> Report:
    settings = Settings(1, cases, None, witnessed=1)
    return run(settings, ReferenceSession, target, lambda _: None, Terms(other, known))


def test_two_alike_agree_whatever_the_reference_does() -> None:
    report = campaign(Recording(FreesInReverse), Recording(FreesInReverse, SMALL))
    assert report.findings == []
    assert report.operations > 2000
    assert (report.target, report.against) == ("mine", "mine")


def test_cases_follow_from_what_the_other_side_answers() -> None:
    target = Recording(HitsTheLastToken)
    report = campaign(target, Recording(HitsTheLastToken, SMALL))
    assert report.findings == []
    assert any(hits_all(trace) for trace in target.asked)


def hits_all(trace: Trace) -> bool:
    """Whether a lookup of this trace hits a whole prompt, as the reference never does."""
    session = HitsTheLastToken(trace.configuration)
    for operation in trace.operations:
        hit = session.apply(operation).tokens
        if isinstance(operation, Lookup) and hit == session.requests[operation.request].num_tokens:
            return True
    return False


@pytest.mark.parametrize("fault", [CountsAQueryTooMany, FreesInReverse, TellsNoRemovals])
def test_a_fault_of_either_side_is_found(fault: type[ReferenceSession]) -> None:
    for mine, theirs in ((fault, ReferenceSession), (ReferenceSession, fault)):
        other = Recording(theirs)
        other.capabilities = replace(other.capabilities, is_sound=False)
        report = campaign(Recording(mine), other)
        assert report.findings
        assert report.findings == [f for f in report.findings if f.differences]


@pytest.mark.parametrize("sides", [(None, SMALL), (SMALL, None)])
def test_nothing_is_asked_that_one_side_lacks(sides: tuple[Capabilities | None, ...]) -> None:
    target = Recording(ReferenceSession, sides[0])
    report = campaign(target, Recording(ReferenceSession, sides[1]), 120)
    assert report.findings == []
    assert [SMALL.lacks_for(trace) for trace in target.asked] == [None] * 120
    operations: list[Operation] = [operation for trace in target.asked for operation in trace.operations]
    assert {Lookup, Allocate} <= set(map(type, operations))
    assert not {Evict, ContinueRequest} & set(map(type, operations))


def test_all_is_asked_that_both_sides_offer() -> None:
    target = Recording(ReferenceSession)
    campaign(target, Recording(ReferenceSession), 120)
    operations = {type(operation) for trace in target.asked for operation in trace.operations}
    assert {Evict, ContinueRequest} <= operations


def test_only_a_side_that_claims_to_be_sound_is_held_against_the_invariants() -> None:
    unsound = campaign(Recording(FreesInReverse), Recording(FreesInReverse, SMALL))
    assert (unsound.findings, unsound.witnessed, unsound.slots_checked) == ([], 0, 0)
    sound = campaign(Recording(FreesInReverse), Recording(FreesInReverse))
    assert sound.witnessed > 30
    assert any("FREE" in d.what or "queue" in d.actual for f in sound.findings for d in f.differences)


class FailsAtTheSecondLookup(ReferenceSession):
    """Raises in the middle of a case, as vLLM does where it is unsound."""

    def apply(self, operation: Operation) -> Observation:
        if isinstance(operation, Lookup) and self.requests and len(self.requests) > 1:
            return Observation(error="ValueError: no block")
        return super().apply(operation)


def test_a_case_ends_where_the_side_that_it_is_drawn_on_raises() -> None:
    case = draw_case(1, "mixed", 1, 60, FailsAtTheSecondLookup, ())
    assert case.trace.operations
    assert isinstance(case.trace.operations[-1], Lookup)
    assert case.expected == run_case(FailsAtTheSecondLookup, case.trace)
    report = campaign(Recording(FailsAtTheSecondLookup), Recording(FailsAtTheSecondLookup, SMALL))
    assert report.findings == []


def test_a_recogniser_that_fails_ends_the_campaign_and_keeps_what_was_found() -> None:
    def fails(_: object) -> bool:
        raise UserError("mine.py: mine: recognises failed")

    entry = Deviation("mine", "", (), Verdict.COSMETIC, "", lambda _: True, fails)
    report = campaign(Recording(FreesInReverse), Recording(ReferenceSession), 40, entry)
    assert report.failure is not None
    assert "recognises failed" in str(report.failure)


def test_an_entry_is_counted_and_excuses() -> None:
    entry = Deviation("mine", "", (), Verdict.COSMETIC, "", lambda _: True, lambda _: True)
    report = campaign(Recording(FreesInReverse), Recording(ReferenceSession), 40, entry)
    assert report.findings == []
    assert report.deviations["mine"] > 10
