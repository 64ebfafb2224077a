"""What a right manager shows behind a trace's last operation, as assertions."""

from collections.abc import Iterator
from typing import Final

from kvref.operations import (
    Allocate,
    CommonPrefix,
    GetBlocks,
    Lookup,
    Observation,
    Operation,
    Reset,
    Stats,
    TakeNewBlockIds,
    TakeStats,
)

STATS: Final = ("requests", "queries", "hits")
PREEMPTED: Final = tuple(f"preempted_{name}" for name in STATS)


def returned(operation: Operation, observation: Observation) -> Iterator[str]:
    """Assertions on what the call has returned."""
    blocks = None if observation.blocks is None else [list(group) for group in observation.blocks]
    match operation:
        case Lookup():
            yield f"assert ids(found) == {blocks}"
            yield f"assert hit == {observation.tokens}"
        case Allocate() if blocks is None:
            yield "assert blocks is None"
        case Allocate() | GetBlocks():
            yield f"assert ids(blocks) == {blocks}"
        case Reset():
            yield f"assert done is {observation.done}"
        case TakeNewBlockIds():
            yield f"assert list(new_ids) == {list(observation.numbers or ())}"
        case CommonPrefix():
            yield f"assert list(common) == {list(observation.numbers or ())}"
        case TakeStats():
            yield from stats_are(observation.stats)
        case _:
            pass


def stats_are(expected: Stats | None) -> Iterator[str]:
    """Assertions on `stats`."""
    if expected is None:
        yield "assert stats is None"
        return
    reset, *counts = expected
    if reset:
        yield "assert stats.reset"
    for names, values in ((STATS, counts[: len(STATS)]), (PREEMPTED, counts[len(STATS) :])):
        if names == STATS or any(values):
            yield f"assert ({', '.join(f'stats.{name}' for name in names)}) == {tuple(values)}"


def changes_state(operation: Operation) -> bool:
    """Whether more than what was returned may tell that something is wrong."""
    return not isinstance(operation, Lookup | GetBlocks | CommonPrefix | TakeNewBlockIds | TakeStats)
