"""A view shows every change of a manager's state, though most of it is the one before."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from invariants.view import View
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    Configuration,
    ContinueRequest,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
    TakeEvents,
)
from kvref.targets.inprocess import OUTSIDE, InProcessSession, Latest
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

CONFIGURATION = Configuration((FullGroup(4), MambaGroup(4)), 16, 64, 4, 4)
STORY: tuple[Operation, ...] = (
    NewRequest("r", tuple(range(9))),
    NewRequest("s", tuple(range(9))),
    NewStep(),
    Allocate("r", 0, 9),
    Allocate("s", 0, 9),
    StepEnds(),
)
"""Two requests with the same tokens, so that a key has several holders."""

FIELDS = [field.name for field in fields(View)]


def swap_holders(pool: Any) -> None:
    """The same holders in another order."""
    key, holders = next((key, holders) for key, holders in pool.prefix_map.items() if len(holders) > 1)
    pool.prefix_map[key] = dict(reversed(holders.items()))


def swap_names(pool: Any) -> None:
    """The same blocks under a content, the younger one first."""
    one = pool.maps[0]
    name = next(iter(one.younger))
    younger = next(iter(one.younger[name]))
    one.younger[name] = dict.fromkeys([one.oldest[name]])
    one.oldest[name] = younger


REFERENCE: dict[str, Callable[[Any], object]] = {
    "ref_counts": lambda m: setattr(m.pool.blocks[-1], "ref_cnt", 1),
    "keys": lambda m: setattr(m.pool.blocks[-1], "block_hash", bytes(36)),
    "free_queue": lambda m: m.pool.free_queue.move_to_end(next(iter(m.pool.free_queue))),
    "prefix_map": lambda m: swap_holders(m.pool),
    "tables": lambda m: m.groups[1].tables["r"].blocks.append(m.pool.null_block),
    "handled": lambda m: setattr(m.groups[1].tables["s"], "handled", 9),
    "reserved": lambda m: m.pool.reserved.append(15),
    "step_keys": lambda m: m.groups[1].cached_this_step.add(bytes(36)),
    "usage": lambda m: m.pool.free_queue.popitem(),
    "stats": lambda m: setattr(m.prefix_cache_stats, "preempted_hits", 1),
}
OPTIMIZED: dict[str, Callable[[Any], object]] = {
    "ref_counts": lambda m: setattr(m.pool.stretches.of[-1], "users", 7),
    "keys": lambda m: m.pool.content.__setitem__(-1, bytes(32)),
    "free_queue": lambda m: m.pool.queue.append_one(m.pool.queue.take(1)[0]),
    "prefix_map": lambda m: swap_names(m.pool),
    "tables": lambda m: m.tables["r"].rows[1].append(0),
    "handled": lambda m: m.tables["s"].handled.__setitem__(1, 9),
    "reserved": lambda m: setattr(m.pool, "reserved", 1),
    "step_keys": lambda m: m.pool.maps[1].cached_this_step.add(bytes(32)),
    "usage": lambda m: setattr(m.pool.queue, "count", 1),
    "stats": lambda m: setattr(m.prefix_cache_stats, "preempted_hits", 1),
}
SESSIONS: tuple[type[InProcessSession], ...] = (ReferenceSession, OptimizedSession)
CHANGES = [
    (kind, name, changes[name])
    for kind, changes in zip(SESSIONS, (REFERENCE, OPTIMIZED), strict=True)
    for name in FIELDS
]


def played(kind: type[InProcessSession]) -> InProcessSession:
    """A session behind the story, seen after each operation."""
    session = kind(CONFIGURATION)
    for operation in STORY:
        session.apply(operation)
        session.view()
    return session


@pytest.mark.parametrize(("kind", "name", "change"), CHANGES)
def test_whatever_a_call_changes_is_seen_behind_it(
    kind: type[InProcessSession], name: str, change: Callable[[Any], object]
) -> None:
    session = played(kind)
    before = session.view()

    def changing() -> None:
        change(session.manager)

    session.manager.new_step_starts = changing
    session.apply(NewStep())
    after = session.view()
    assert getattr(after, name) != getattr(before, name)
    assert before == played(kind).view()


@pytest.mark.parametrize("kind", SESSIONS)
def test_what_stays_equal_is_one_object(kind: type[InProcessSession]) -> None:
    session = played(kind)
    before = session.view()
    session.apply(GetBlocks("r"))
    assert session.view() is before
    session.apply(Free("r"))
    after = session.view()
    changed = {name for name in FIELDS if getattr(after, name) is not getattr(before, name)}
    assert changed == {"ref_counts", "free_queue", "tables", "handled", "usage"}


@pytest.mark.parametrize("kind", SESSIONS)
def test_what_happens_outside_a_manager_does_not_call_it(kind: type[InProcessSession]) -> None:
    session = played(kind)

    class Untouchable:
        """Answers nothing but what every operation asks."""

        take_events = session.manager.take_events

    before = session.view()
    session.manager = Untouchable()
    session.apply(NewRequest("t", (1, 2, 3)))
    session.apply(AppendTokens("r", (7,)))
    session.requests["r"].num_computed_tokens = 9
    session.apply(ContinueRequest("r", 9, (8,)))
    session.apply(StepEnds())
    assert session.view() is before


@pytest.mark.parametrize("kind", SESSIONS)
@pytest.mark.parametrize("operation", [NewStep(), TakeEvents(), Lookup("r"), CacheBlocks("r", 9)])
def test_all_else_is_looked_at_anew(kind: type[InProcessSession], operation: Operation) -> None:
    assert not isinstance(operation, OUTSIDE)
    session = played(kind)
    original, states = session.state, []

    def counted() -> Any:
        states.append(original())
        return states[-1]

    session.state = counted  # type: ignore[method-assign]
    session.apply(operation)
    session.view()
    assert len(states) == 1


def test_the_latest_result_stands_while_the_arguments_are_equal() -> None:
    asked: list[list[int]] = []

    def double(numbers: list[int]) -> list[int]:
        asked.append(numbers)
        if not numbers:
            raise ValueError("none")
        return [2 * number for number in numbers]

    latest = Latest(double)
    first = latest([1, 2])
    assert latest([1, 2]) is first
    assert latest([2, 1]) == [4, 2]
    for _ in range(2):
        with pytest.raises(ValueError, match="none"):
            latest([])
    assert latest([2, 1]) == [4, 2]
    assert asked == [[1, 2], [2, 1], [], []]
