"""Level safe on whole managers: the sound ones are safe, and what keys conflate is told apart.

HASH-4, Q-10, Q-11.
"""

import pytest

from kvref.dataplane.safety import Safety
from kvref.fuzz.campaign import Memory, conduct
from kvref.fuzz.play import play
from kvref.fuzz.safe import SafeRunner
from kvref.fuzz.settings import Settings
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Here
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    ContinueRequest,
    Free,
    FullGroup,
    GetBlocks,
    Item,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    Reset,
    StepEnds,
)
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from tests.dataplane.story import configuration


def campaign(opener: Opener, cases: int, seed: int = 1) -> Report:
    settings = Settings(seed, cases, level="safe", witnessed=1)
    runner = SafeRunner(settings, InProcessTarget("target", opener), play, lambda _: None)
    return conduct(Here(runner), Memory(Report("target", settings)), lambda _: None)


@pytest.mark.parametrize("opener", [ReferenceSession, OptimizedSession])
def test_our_managers_are_safe(opener: Opener) -> None:
    report = campaign(opener, 200)
    assert report.findings == []
    assert report.slots_checked > 50_000
    assert report.coverage.counts["several groups", "hit"] > 50


def test_a_campaign_repeats_exactly_with_its_seed() -> None:
    def seen() -> tuple[object, ...]:
        report = campaign(ReferenceSession, 20, seed=9)
        return report.operations, report.slots_checked, report.coverage.counts

    assert seen() == seen()


def admission(name: str, new: int, hit: int = 0) -> list[Operation]:
    return [NewStep(), Lookup(name), Allocate(name, 0, new, hit=hit), GetBlocks(name), StepEnds()]


def told(*operations: Operation, of: Configuration | None = None) -> Safety:
    settings = of or configuration(FullGroup(4), hash_function="sha256_cbor")
    safety, session = Safety(settings, ReferenceSession), ReferenceSession(settings)
    for operation in operations:
        assert safety.sees(operation, session.apply(operation)) == []
    return safety


TOKENS = tuple(range(9))


def test_an_adapter_and_a_salt_of_one_name_have_one_key() -> None:
    first = [NewRequest("a", TOKENS, salt="s"), *admission("a", 9), AppendTokens("a", (1,))]
    second = [NewRequest("b", TOKENS, lora="s"), *admission("b", 5, hit=4)]
    assert told(*first, *second).conflated == 1


def test_the_same_salt_is_no_conflation() -> None:
    first = [NewRequest("a", TOKENS, salt="s"), *admission("a", 9), AppendTokens("a", (1,))]
    second = [NewRequest("b", TOKENS, salt="s"), *admission("b", 1, hit=8)]
    assert told(*first, *second).conflated == 0


def grown(name: str, image: str, hit: int = 0) -> list[Operation]:
    """A block that is completed by an output considers its last image only [Q-10]."""
    items = (Item(image, 4, 1), Item("last", 6, 1))
    return [
        NewRequest(name, TOKENS[:7], items=items),
        *admission(name, 7 - hit, hit),
        AppendTokens(name, (7,)),
    ]


def step(name: str) -> list[Operation]:
    return [NewStep(), Allocate(name, 7, 1), StepEnds(), AppendTokens(name, (8,))]


def test_an_image_before_the_last_one_is_not_in_the_key_of_a_grown_block() -> None:
    first = [*grown("a", "x"), *step("a"), Free("a")]
    second = [*grown("b", "y", hit=4), *step("b"), Free("b"), *admission("b", 1, hit=8)]
    assert told(*first, *second).conflated == 1


def test_a_session_that_replaced_a_token_keeps_the_key_of_the_old_one() -> None:
    first: list[Operation] = [NewRequest("a", (0, 1, 2)), *admission("a", 3), AppendTokens("a", (3,))]
    replaced: list[Operation] = [ContinueRequest("a", 3, (8, 9)), NewStep(), Allocate("a", 3, 2), StepEnds()]
    second = [NewRequest("b", (0, 1, 2, 3, 4)), *admission("b", 1, hit=4)]
    assert told(*first, *replaced, AppendTokens("a", (1,)), *second).conflated == 1


def test_reset_1_what_was_cached_before_a_reset_must_not_be_hit_behind_it() -> None:
    class Forgetful(ReferenceSession):
        """Its reset is told as done, and does nothing."""

        def apply(self, operation: Operation) -> Observation:
            return Observation(done=True) if isinstance(operation, Reset) else super().apply(operation)

    before: list[Operation] = [NewRequest("a", TOKENS), *admission("a", 9)]
    before += [AppendTokens("a", (1,)), Free("a"), Reset()]
    for opener, hit, is_wrong in ((ReferenceSession, 0, False), (Forgetful, 8, True)):
        settings = configuration(FullGroup(4))
        safety, session = Safety(settings, opener), opener(settings)
        wrong = []
        for operation in (*before, *admission("a", 10 - hit, hit)):
            wrong += safety.sees(operation, session.apply(operation))
        assert bool(wrong) == is_wrong


def admitted_twice(hit: int) -> list[Operation]:
    """Two requests, whose second reads what the first writes in the same step; it has not ended."""
    first: list[Operation] = [
        NewRequest("a", TOKENS),
        NewStep(),
        Allocate("a", 0, 8, hit=None),
        GetBlocks("a"),
    ]
    return [*first, NewRequest("b", TOKENS), Lookup("b"), Allocate("b", 0, 9 - hit, hit=hit), GetBlocks("b")]


def test_steps_in_flight_run_to_their_end_when_nothing_follows() -> None:
    sound = told(*admitted_twice(8))
    assert sound.ends() == []
    assert sound.checked == told(*admitted_twice(8), StepEnds()).checked > 0


def test_a_misread_of_a_step_in_flight_is_told_when_nothing_follows() -> None:
    safety = Safety(configuration(FullGroup(4)), ReferenceSession)
    prompt: list[Operation] = [NewRequest("a", TOKENS), NewStep(), Lookup("a")]
    answers = [Observation(), Observation(), Observation(tokens=4)]
    for operation, answer in zip(prompt, answers, strict=True):
        assert safety.sees(operation, answer) == []
    blocks = Observation(blocks=((1, 2, 3),))
    assert safety.sees(Allocate("a", 0, 5, hit=4), blocks) == []
    assert safety.ends() == [], "the worker knows no table yet"
    assert safety.sees(GetBlocks("a"), blocks) == []
    assert [one.actual for one in safety.ends()] == ["nothing"]
