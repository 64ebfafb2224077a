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
    Operation,
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
    report = campaign(opener, 150)
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
