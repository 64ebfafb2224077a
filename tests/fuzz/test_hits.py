"""Level hits: other block ids are nobody's business; other hit lengths, admissions and refusals are."""

from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest

from kvref.compare import Difference
from kvref.errors import ConfigurationError
from kvref.fuzz.campaign import Report, Settings, run
from kvref.fuzz.hits import HeldToHits, reduced
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.shows_safe import Safe
from kvref.fuzz.shrink import shrink
from kvref.operations import (
    Allocate,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Reset,
    StepEnds,
    Trace,
)
from kvref.replay_safe import replay_safe
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from spec.attention import FullAttention
from spec.units import Tokens
from tests.fuzz.safely import run_safely


class OtherIds(ReferenceSession):
    """The pool is handed out from its end."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        pool = self.manager.pool
        pool.free_queue = OrderedDict.fromkeys(reversed(pool.free_queue))


class TakesTheLatest(ReferenceSession):
    """Evicts what was released last: sound, and another policy."""

    def perform(self, operation: Any) -> Observation:
        seen = super().perform(operation)
        if isinstance(operation, Free):
            self.manager.pool.free_queue = OrderedDict.fromkeys(reversed(self.manager.pool.free_queue))
        return seen


class HalvesHits(ReferenceSession):
    """A lone full group's hit of several blocks is cut to its first block: sound, and shorter."""

    def look_up(self, request: Any) -> tuple[Any, int]:
        found, length = super().look_up(request)
        size = self.manager.config.hit_alignment
        (first, *others) = self.manager.groups
        if length <= size or others or not isinstance(first.attention, FullAttention):
            return found, length
        return self.manager.create_kv_cache_blocks((first.hit_blocks(request, Tokens(size)),)), size


class RefusesTheLast(ReferenceSession):
    """Keeps a block free, come what may."""

    def perform(self, operation: Any) -> Observation:
        if isinstance(operation, Allocate) and self.manager.pool.num_free <= 1:
            return Observation()
        return super().perform(operation)


class SaysNotReset(ReferenceSession):
    def perform(self, operation: Any) -> Observation:
        seen = super().perform(operation)
        return Observation(done=False) if isinstance(operation, Reset) else seen


def target(opener: Opener) -> InProcessTarget:
    """A target that shows ids and hit lengths alone."""
    tested = InProcessTarget("target", opener)
    tested.capabilities = replace(tested.capabilities, shows_state=False)
    return tested


def campaign(tested: SafeTarget, cases: int = 100) -> Report:
    return run_safely(Settings(1, cases, witnessed=1), tested)


def held(opener: Opener) -> HeldToHits:
    return HeldToHits(target(opener), ReferenceSession)


def test_a_manager_with_other_ids_agrees_at_level_hits_and_not_at_level_exact() -> None:
    report = campaign(held(OtherIds), 150)
    assert report.findings == []
    assert report.coverage.counts["full", "hit"] > 50
    assert report.coverage.counts["several groups", "refusal"] > 50
    exact = run(Settings(1, 5, None), ReferenceSession, target(OtherIds), lambda _: None)
    assert len(exact.findings) >= 4


@pytest.mark.parametrize(
    ("opener", "what"),
    [
        (HalvesHits, "hit length of "),
        (RefusesTheLast, "slots for "),
        (TakesTheLatest, "hit length of "),
        (SaysNotReset, "reset"),
    ],
)
def test_what_is_sound_and_not_the_same_shows_at_level_hits(
    opener: type[ReferenceSession], what: str
) -> None:
    found = campaign(held(opener)).findings
    assert found
    assert found[0].differences[0].what.startswith(what)
    assert found[0].trace.operations[-1] == found[0].operation


@pytest.mark.parametrize("opener", [HalvesHits, TakesTheLatest])
def test_level_safe_has_nothing_against_it(opener: type[ReferenceSession]) -> None:
    assert campaign(target(opener)).findings == []


def test_level_hits_checks_the_data_as_level_safe_does() -> None:
    class HandsOutABlockTwice(OtherIds):
        def perform(self, operation: Any) -> Observation:
            seen = super().perform(operation)
            queue = self.manager.pool.free_queue
            if isinstance(operation, Allocate) and seen.blocks and any(seen.blocks) and queue:
                stolen = next(block for group in seen.blocks for block in group)
                if stolen:
                    queue[stolen] = None  # type: ignore[index] # a block id
            return seen

    found = campaign(held(HandsOutABlockTwice), 60).findings
    assert any(" writes " in one.differences[0].what or " reads " in one.differences[0].what for one in found)


def test_no_eviction_by_id_is_asked_for() -> None:
    asked: set[str] = set()

    class Asked(ReferenceSession):
        def perform(self, operation: Any) -> Observation:
            asked.add(type(operation).__name__)
            return super().perform(operation)

    campaign(held(Asked))
    assert "Evict" not in asked
    campaign(target(Asked))
    assert "Evict" in asked


def test_a_finding_is_shrunk_and_replayed_at_its_level() -> None:
    tested = held(HalvesHits)
    finding = campaign(tested).findings[0]
    small = shrink(finding.trace, Safe(tested))
    assert small is not None
    assert len(small.trace.operations) <= 8
    again = replay_safe(small.trace, tested)
    assert again.wrong == small.wrong
    assert replay_safe(small.trace, target(HalvesHits)).wrong == ()


def test_what_either_side_refuses_to_build_is_not_compared() -> None:
    class RefusesFull(ReferenceSession):
        def __init__(self, configuration: Configuration) -> None:
            if any(isinstance(group, FullGroup) for group in configuration.groups):
                raise ConfigurationError("full attention is not for me")
            super().__init__(configuration)

    report = campaign(held(RefusesFull))
    assert report.findings == []
    assert 20 < report.refused["full attention is not for me"] < 100
    assert len(report.refused) > 1


@pytest.mark.parametrize(
    ("operation", "observation", "told"),
    [
        (Lookup("r"), Observation(blocks=((3, 4),), tokens=8), ("hit length of r", "8")),
        (Allocate("r", 0, 1), Observation(blocks=((),)), ("slots for r", "granted")),
        (Allocate("r", 0, 1), Observation(), ("slots for r", "refused")),
        (Allocate("r", 0, 1), Observation(error="ForeignHitError"), ("error", "ForeignHitError")),
        (Reset(), Observation(done=True), ("reset", "done")),
        (Reset(), Observation(done=False), ("reset", "refused")),
        (Free("r"), Observation(), ("error", "none")),
    ],
)
def test_an_observation_is_reduced_to_what_ids_do_not_change(
    operation: Any, observation: Observation, told: tuple[str, str]
) -> None:
    assert reduced(operation, observation) == told


def test_an_error_that_only_one_side_raises_is_told() -> None:
    class Raises(ReferenceSession):
        def perform(self, operation: Any) -> Observation:
            if isinstance(operation, Free):
                return Observation(error="UnknownBlockError")
            return super().perform(operation)

    configuration = Configuration((FullGroup(4),), 9, 64, 4, 4)
    steps = (NewRequest("r", (1,)), NewStep(), Allocate("r", 0, 1), StepEnds(), Free("r"), Evict((1,)))
    found = replay_safe(Trace(configuration, steps[:-1]), held(Raises))
    assert found.wrong == (Difference("error", "none", "UnknownBlockError"),)
    assert found.at == 4
