"""Drives any manager that has vLLM's public API, one operation after another.

What differs between implementations is left to a subclass: how a request is made, how an error is
named, how events and state are pictured.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import msgspec

from invariants.view import View
from kvref.events import BlockRemoved, KVCacheEvent
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    ContinueRequest,
    Evict,
    Free,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    Stats,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)


class ApiSession(ABC):
    """A manager with vLLM's public API, and the requests that its caller keeps."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager
        self.requests: dict[str, Any] = {}
        self._found: dict[str, Any] = {}

    def found(self, name: str) -> Any:
        """The blocks of the request's last lookup."""
        return self._found[name]

    @abstractmethod
    def new_request(self, operation: NewRequest) -> Any:
        """The implementation's own request object."""

    @abstractmethod
    def continue_request(self, request: Any, operation: ContinueRequest) -> None:
        """Give a streaming session its next input [REQ-7]."""

    @abstractmethod
    def meaning(self, error: Exception) -> str | None:
        """The name in `kvref.errors` of what was raised, None if it is not a caller's mistake."""

    @abstractmethod
    def drain_events(self) -> list[KVCacheEvent]:
        """The events since the last call."""

    @abstractmethod
    def view(self) -> View:
        """The manager's state."""

    def look_up(self, request: Any) -> tuple[Any, int]:
        """The hit's blocks and its length [HIT-1]."""
        found, length = self.manager.get_computed_blocks(request)
        return found, length

    def allocate(self, request: Any, found: Any, operation: Allocate) -> Any:
        """The new blocks, None if they were refused; `found` are the blocks of the hit [ALLOC-1]."""
        return self.manager.allocate_slots(
            request,
            operation.new,
            operation.hit or 0,
            found,
            operation.lookahead,
            operation.external,
            operation.delay,
            operation.encoder,
            operation.must_fit,
            operation.reserved,
        )

    def forget(self, name: str) -> None:
        """The caller lets go of a request, which will not come again."""
        self.requests.pop(name, None)
        self._found.pop(name, None)

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation [OBS-1]."""
        try:
            observation = self.perform(operation)
        except Exception as error:
            meaning = self.meaning(error)
            if meaning is None:
                raise
            return Observation(error=meaning)
        events = self.drain_events()
        if not events:
            return observation
        if isinstance(operation, Evict):
            events.sort(key=removal_order)
        return msgspec.structs.replace(observation, events=tuple(events))

    def perform(self, operation: Operation) -> Observation:  # noqa: C901, PLR0911, PLR0912
        """Perform the operation, and let what it raises through."""
        manager, requests = self.manager, self.requests
        match operation:
            # Roughly by frequency.
            case Allocate():
                return self._allocate(operation)
            case NewStep():
                manager.new_step_starts()
            case AppendTokens(request=name, tokens=tokens):
                requests[name].append_output_token_ids(list(tokens))
            case StepEnds() | TakeEvents():
                pass
            case Lookup(request=name, preemptions=preemptions):
                requests[name].num_preemptions = preemptions
                found, length = self.look_up(requests[name])
                self._found[name] = found
                return Observation(blocks=block_ids(found), tokens=length)
            case NewRequest(request=name):
                requests[name] = self.new_request(operation)
            case GetBlocks(request=name):
                return Observation(blocks=block_ids(manager.get_blocks(name)))
            case Free(request=name):
                manager.free(requests[name])
            case TakeNewBlockIds():
                return Observation(numbers=tuple(manager.take_new_block_ids()))
            case CacheBlocks(request=name, tokens=computed):
                manager.cache_blocks(requests[name], computed)
            case TakeStats():
                return Observation(stats=stats_of(manager.make_prefix_cache_stats()))
            case RemoveSkipped(request=name, tokens=computed):
                manager.remove_skipped_blocks(name, computed)
            case Evict(blocks=blocks):
                manager.evict_blocks(set(blocks))
            case Reset():
                return Observation(done=manager.reset_prefix_cache())
            case ContinueRequest(request=name, computed=computed):
                requests[name].num_computed_tokens = computed
                self.continue_request(requests[name], operation)
            case CommonPrefix(request=name):
                return Observation(numbers=tuple(manager.get_num_common_prefix_blocks(name)))
        return Observation()

    def _allocate(self, operation: Allocate) -> Observation:
        request = self.requests[operation.request]
        request.num_computed_tokens = operation.computed
        found = None if operation.hit is None else self._found[operation.request]
        blocks = self.allocate(request, found, operation)
        return Observation(blocks=None if blocks is None else block_ids(blocks))


def block_ids(blocks: Any) -> tuple[tuple[int, ...], ...]:
    """The ids of a `KVCacheBlocks`, by group."""
    return tuple([tuple([b.block_id for b in group]) for group in blocks.blocks])


def stats_of(stats: Any) -> Stats | None:
    """Prefix cache statistics as plain numbers [STATS-1]."""
    if stats is None:
        return None
    return (
        stats.reset,
        stats.requests,
        stats.queries,
        stats.hits,
        stats.preempted_requests,
        stats.preempted_queries,
        stats.preempted_hits,
    )


def picture_map(entries: Iterable[tuple[bytes, list[int]]]) -> list[tuple[bytes, list[int]]]:
    """The prefix map in an order that does not depend on insertion of keys [OBS-4, OBS-9]."""
    return sorted(entries, key=itemgetter(1))


def removal_order(event: KVCacheEvent) -> tuple[int, tuple[int, ...]]:
    """What the removals of one eviction are sorted by: blocks leave in no order that counts (Q-19)."""
    if isinstance(event, BlockRemoved):
        return (event.group_idx or 0, event.block_hashes)
    return (-1, ())
