"""What came about in a check: an exhausted scope says little of what never happens in it.

Counted by transition. What must come about follows from the scope: a window releases what it has left, a state
goes on in another block, content makes room for other content.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from invariants.view import View
from kvref.check.moves import Move, Scope
from kvref.operations import (
    Allocate,
    AppendTokens,
    ChunkedGroup,
    Evict,
    Free,
    MambaGroup,
    NewStep,
    Observation,
    Reset,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.protocol import Scheduler

HIT: Final = "hit"
SHARED: Final = "block shared"
EVICTION: Final = "eviction"
REFUSAL: Final = "refusal"
PREEMPTION: Final = "preemption"
TWICE: Final = "content held twice"
RELEASE: Final = "block left behind"
STATE: Final = "state goes on"
UNKEPT: Final = "full block not kept"
REJECTION: Final = "draft rejected"
LOAD: Final = "load"
LATE_LOAD: Final = "load awaited"
BY_HAND: Final = "evicted by hand"
RESET: Final = "reset"
OVERLAP: Final = "steps overlap"

EVENTS: Final = (
    *(HIT, SHARED, EVICTION, REFUSAL, PREEMPTION, TWICE, RELEASE, STATE, UNKEPT),
    *(REJECTION, LOAD, LATE_LOAD, BY_HAND, RESET, OVERLAP),
)
"""What is counted, in the order in which it is told."""

TOKENS_BEFORE_DRAFTS: Final = 3
"""A prompt, an output, its draft, and the output behind that are one token more."""

WINDOWS = (SlidingGroup, SlidingMLAGroup, ChunkedGroup, MambaGroup)
"""Kinds of attention that leave blocks behind."""


def due(scope: Scope) -> set[str]:
    """What must come about in a scope, so that exhausting it says something of its configuration."""
    configuration = scope.configuration
    groups, caching, several = configuration.groups, configuration.enable_caching, scope.requests > 1
    leaves = any(isinstance(group, WINDOWS) for group in groups)
    # Sinks are in use for good, so nothing is ever reset beside them [SINK-1].
    resets = not any(isinstance(group, SinkGroup) for group in groups)
    wanted = {
        HIT: caching,
        SHARED: caching and several,
        EVICTION: caching,
        REFUSAL: several,
        PREEMPTION: True,
        TWICE: caching and several,
        RELEASE: leaves,
        STATE: any(isinstance(group, MambaGroup) for group in groups),
        UNKEPT: configuration.retention_interval is not None,
        REJECTION: scope.drafts > 0 and scope.tokens > TOKENS_BEFORE_DRAFTS,
        LOAD: scope.connector,
        LATE_LOAD: scope.connector,
        BY_HAND: scope.by_hand and caching,
        RESET: scope.by_hand and caching and resets,
        OVERLAP: scope.asynchronous,
    }
    return {event for event, is_due in wanted.items() if is_due}


class Watch:
    """Counts what comes about in a scope: `stands` at a state, then `sees` each move that is made from it."""

    def __init__(self, scope: Scope) -> None:
        self.counts: Counter[str] = Counter()
        groups = scope.configuration.groups
        self._states = [at for at, group in enumerate(groups) if isinstance(group, MambaGroup)]
        self._thins_out = scope.configuration.retention_interval is not None
        self._flies = False
        self._due: dict[str, int] = {}

    def stands(self, scheduler: Scheduler) -> None:
        """The moves that follow are made from here."""
        self._flies = scheduler.step is not None or bool(scheduler.launched)
        self._due = {book.name: book.due for book in scheduler.books.values()}

    def sees(self, move: Move, observation: Observation, before: View, after: View) -> None:
        """Count what one move brought about."""
        self.counts.update(self._about(move, observation, before, after))

    def _about(self, move: Move, observation: Observation, before: View, after: View) -> Iterator[str]:
        match move:
            case Allocate():
                yield from self._about_allocation(move, observation, before, after)
            case Free(request=name) if name in before.tables:
                yield PREEMPTION
            case AppendTokens(request=name, tokens=tokens) if len(tokens) < self._due[name]:
                yield REJECTION
            case Evict() if before.keys != after.keys:
                yield BY_HAND
            case Reset() if before.prefix_map and observation.done:
                yield RESET
            case NewStep() if self._flies:
                yield OVERLAP
        if before.tables is not after.tables:
            yield from _left_behind(before, after)

    def _about_allocation(
        self, move: Allocate, observation: Observation, before: View, after: View
    ) -> Iterator[str]:
        if observation.blocks is None:
            yield REFUSAL
            return
        if move.hit:
            yield from _read(move.request, observation.blocks, before, after)
        if move.external:
            yield LATE_LOAD if move.delay else LOAD
        if any(old not in (None, new) for old, new in zip(before.keys, after.keys, strict=True)):
            yield EVICTION
        if any(len(held) > 1 for _, held in after.prefix_map):
            yield TWICE
        rows, handled = after.tables.get(move.request, []), after.handled.get(move.request, [])
        earlier = before.tables.get(move.request)
        for group in self._states:
            goes_on = move.hit or (earlier is not None and any(earlier[group]))
            if goes_on and any(observation.blocks[group]):
                yield STATE
        if self._thins_out:
            offered = (block for row, count in zip(rows, handled, strict=True) for block in row[:count])
            if any(block and after.keys[block] is None for block in offered):
                yield UNKEPT


def _read(request: str, taken: Sequence[Sequence[int]], before: View, after: View) -> Iterator[str]:
    """Blocks of a hit, maybe such that another request reads too; a hit may also need none."""
    rows = after.tables[request]
    read = {
        block for row, new in zip(rows, taken, strict=True) for block in row if block and block not in new
    }
    if read:
        yield HIT
    if any(before.ref_counts[block] for block in read):
        yield SHARED


def _left_behind(before: View, after: View) -> Iterator[str]:
    """Blocks left tables that go on; a table may have grown meanwhile."""
    for name in before.tables.keys() & after.tables.keys():
        for was, row in zip(before.tables[name], after.tables[name], strict=True):
            if any(old and not new for old, new in zip(was, row, strict=False)):
                yield RELEASE
