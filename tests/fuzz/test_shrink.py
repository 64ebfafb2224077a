"""A finding at level safe is shrunk to a few operations that still show it; the check can fail."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from kvref.fuzz.cases import random_of
from kvref.fuzz.configurations import draw
from kvref.fuzz.play import play
from kvref.fuzz.safe import Played
from kvref.fuzz.settings import Settings
from kvref.fuzz.shows_safe import Safe, sort_of
from kvref.fuzz.shrink import shrink
from kvref.fuzz.smaller_configurations import oddities, size_of, smaller
from kvref.fuzz.smaller_histories import with_longer_prompts, with_steps_in_flight
from kvref.operations import (
    Allocate,
    ContinueRequest,
    Free,
    GetBlocks,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
    Trace,
)
from kvref.optimized import KVCacheManager
from kvref.optimized.free_queue import FreeQueue
from kvref.optimized.groups import Group, SlidingGroup
from kvref.optimized.pool import BlockPool
from kvref.replay_safe import replay_safe
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceTarget

SETTINGS = Settings(1, None, witnessed=1000)
REFERENCE = ReferenceTarget()


class FaultySession(OptimizedSession):
    """What the fault raises is told, as of any foreign manager."""

    def meaning(self, error: Exception) -> str:
        return super().meaning(error) or f"{type(error).__name__}: {error}"


FAULTY = InProcessTarget("faulty", FaultySession)
Faulty = Callable[[Any], Any]


def with_one_request(true: Any) -> Any:
    def allocate(self: Any, request: Any, *rest: Any, **given: Any) -> Any:
        served = vars(self).setdefault("served", request)
        return true(self, request, *rest, **given) if served is request else None

    return allocate


FAULTS: dict[str, tuple[type, str, Faulty, int]] = {
    "a hit block stays in the queue": (FreeQueue, "remove", lambda _: lambda *_: None, 17),
    "a window is a token too short": (
        SlidingGroup,
        "skipped_tokens",
        lambda true: lambda self, computed: true(self, computed + 1),
        12,
    ),
    "one block too many is cached": (
        Group,
        "cacheable_blocks",
        lambda true: lambda self, tokens: true(self, tokens + 1),
        3,
    ),
    "a block that is taken keeps its key": (BlockPool, "_forget_all", lambda _: lambda *_: None, 18),
    "freed blocks are lost": (KVCacheManager, "free", lambda _: lambda *_: None, 10),
    "salts are not told": (
        FaultySession,
        "new_request",
        lambda true: lambda self, new: true(self, msgspec.structs.replace(new, salt=None)),
        11,
    ),
    "adapters are not told": (
        FaultySession,
        "new_request",
        lambda true: lambda self, new: true(self, msgspec.structs.replace(new, lora=None)),
        11,
    ),
    "one request alone is ever served": (KVCacheManager, "allocate_slots", with_one_request, 9),
}
"""By fault: where it is, and in how many operations it is shown at the most."""


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    place, name, faulty, _ = FAULTS[request.param]
    monkeypatch.setattr(place, name, faulty(getattr(place, name)))
    return str(request.param)


def finding() -> Played:
    cases = (play(SETTINGS, number, FAULTY) for number in range(1, 500))
    return next(played for played in cases if played.wrong)


def names(trace: Trace) -> set[str]:
    return {operation.request for operation in trace.operations if isinstance(operation, NewRequest)}


def test_a_fault_is_shown_in_a_few_operations(fault: str) -> None:
    played = finding()
    shrunk = shrink(played.trace, Safe(FAULTY))
    assert shrunk is not None
    assert len(shrunk.trace.operations) <= FAULTS[fault][3]
    assert sort_of(shrunk.wrong[0], names(shrunk.trace)) == sort_of(played.wrong[0], names(played.trace))
    # It is a trace of its own: played again, it shows the same, and nothing has to be mended.
    assert Safe(FAULTY).play(shrunk.trace) == (shrunk.trace, shrunk.wrong, None)
    assert replay_safe(shrunk.trace, FAULTY).wrong == shrunk.wrong
    assert shrink(played.trace, Safe(FAULTY)) == shrunk


def test_attempts_are_counted_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KVCacheManager, "free", lambda *_: None)
    told: list[tuple[int, int]] = []
    shrunk = shrink(finding().trace, Safe(FAULTY), budget=5, progress=lambda *seen: told.append(seen))
    assert shrunk is not None
    assert shrunk.attempts == 5
    assert told
    assert all(attempts <= 5 for attempts, _ in told)
    assert told[-1][1] == len(shrunk.trace.operations)


def test_a_sound_trace_has_nothing_to_shrink() -> None:
    played = play(SETTINGS, 0, REFERENCE)
    assert shrink(played.trace, Safe(REFERENCE)) is None


def test_what_was_played_is_legal_as_it_stands_and_need_not_tell_the_worker_of_its_tables() -> None:
    for number in range(60):
        played = play(SETTINGS, number, REFERENCE)
        if played.refused is None:
            operations = played.trace.operations
            rest = [o for before, o in pairwise((NewStep(), *operations)) if not _tells(before, o)]
            trace = msgspec.structs.replace(played.trace, operations=tuple(rest))
            assert Safe(REFERENCE).play(played.trace) == (trace, (), None)


def _tells(before: Operation, operation: Operation) -> bool:
    """Whether the operation asks for the table that an admission right before it has made."""
    return isinstance(before, Allocate) and before.hit is not None and operation == GetBlocks(before.request)


def test_a_smaller_configuration_is_no_odder() -> None:
    for number in range(60):
        configuration = draw(random_of(2, "mixed", number), "mixed")
        for one in smaller(configuration):
            assert oddities(one) <= oddities(configuration)
            assert all(group.block_size >= 1 for group in one.groups)
            # Every trace that is kept can be read from a file.
            assert msgspec.json.decode(msgspec.json.encode(one), type=type(one)) == one
        assert any(size_of(one) < size_of(configuration) for one in smaller(configuration))


def test_a_step_need_not_end_before_the_next_one_begins() -> None:
    operations: tuple[Operation, ...] = (NewStep(), StepEnds(), Free("a"), NewStep(), StepEnds())
    assert list(with_steps_in_flight(operations)) == [(NewStep(), NewStep(), Free("a"), StepEnds())]


def test_a_sessions_next_input_may_belong_to_its_prompt() -> None:
    prompt, more = NewRequest("a", (1, 2, 3)), ContinueRequest("a", 2, (7, 8))
    [longer] = with_longer_prompts((prompt, NewStep(), more))
    assert longer == (NewRequest("a", (1, 2, 7, 8)), NewStep())
