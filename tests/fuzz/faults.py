"""Managers with one fault each, to be found: the reference, and something that is not quite right."""

from collections.abc import Sequence
from typing import Any, ClassVar

from invariants.view import View
from kvref.blocks import KVCacheBlock
from kvref.errors import ConfigurationError
from kvref.events import BlockRemoved, BlockStored, KVCacheEvent
from kvref.operations import (
    Configuration,
    Evict,
    Free,
    NewRequest,
    Observation,
    Operation,
    SlidingGroup,
    Trace,
)
from kvref.request import Request
from kvref.targets.base import CaseResult, picture_case, run_case
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Opener, Picture
from kvref.targets.reference import ReferenceSession
from spec.units import BlockId


class FaultyTarget:
    """An implementation in this process. `ran` counts the cases that it was given."""

    name = "faulty"
    cpu_seconds = 0.0

    def __init__(self, opener: Opener, catalogue: Catalogue = ()) -> None:
        self.opener = opener
        self.catalogue = catalogue
        self.ran = 0
        self.closed = False

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        self.ran += len(traces)
        return [run_case(self.opener, trace) for trace in traces]

    def picture(self, trace: Trace) -> list[Picture]:
        return picture_case(self.opener, trace)

    def close(self) -> None:
        self.closed = True


class Fault(ReferenceSession):
    """A session with a fault, `shown_by` these operations in the part `shows`, `within` so many cases."""

    shown_by: ClassVar[str]
    shows: ClassVar[str]
    within: ClassVar[int] = 40

    def replace(self, name: str, function: Any) -> Any:
        """Put `function` in the place of the manager's method; returns the method."""
        original = getattr(self.manager, name)
        setattr(self.manager, name, function)
        return original


def turned(session: ReferenceSession, before: set[BlockId]) -> None:
    """Turn the order of the blocks that are newly in the free queue."""
    queue = session.manager.pool.free_queue
    order = list(queue)
    places = [at for at, block in enumerate(order) if block not in before]
    for at, block in zip(places, [order[at] for at in reversed(places)], strict=True):
        order[at] = block
    queue.clear()
    queue.update(dict.fromkeys(order))


class FreesInReverse(Fault):
    """A freed request's blocks are queued head first [FREE-3]."""

    shown_by, shows = "Free", "free queue"

    def apply(self, operation: Operation) -> Observation:
        before = set(self.manager.pool.free_queue)
        seen = super().apply(operation)
        if isinstance(operation, Free):
            turned(self, before)
        return seen


class LeaksABlock(Fault):
    """The first block that a request gives back is never seen again [INV-1]."""

    shown_by, shows = "Free", "free queue"

    def apply(self, operation: Operation) -> Observation:
        before = set(self.manager.pool.free_queue)
        seen = super().apply(operation)
        if isinstance(operation, Free):
            for block in [b for b in self.manager.pool.free_queue if b not in before][:1]:
                self.manager.pool.uncache(self.manager.pool.blocks[block])
                del self.manager.pool.free_queue[block]
                self.manager.pool.events.clear()
        return seen


class _OneMore:
    """A request that claims to have one token more."""

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def num_tokens(self) -> int:
        return self._request.num_tokens + 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


class HitsTheLastToken(Fault):
    """A hit may cover the whole prompt, so that nothing is left to compute [HIT-1]."""

    shown_by, shows, within = "Lookup", "tokens", 120

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)

        def look(request: Request) -> Any:
            stats = self.manager.prefix_cache_stats
            if stats is not None and self.manager.config.enable_caching:
                if not request.skip_reading_prefix_cache and request.num_preemptions:
                    stats.preempted_queries -= 1
                elif not request.skip_reading_prefix_cache:
                    stats.queries -= 1
            return original(_OneMore(request))

        original = self.replace("get_computed_blocks", look)


class CountsAQueryTooMany(Fault):
    """The statistics count one token too many a lookup [STATS-1]."""

    shown_by, shows = "Lookup", "stats"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)

        def look(request: Request) -> Any:
            if self.manager.prefix_cache_stats is not None:
                self.manager.prefix_cache_stats.queries += 1
            return original(request)

        original = self.replace("get_computed_blocks", look)


class TellsNoRemovals(Fault):
    """Evicted content is not announced [EVENT-4]."""

    shown_by, shows = "Allocate Evict", "event 0"

    def drain_events(self) -> list[KVCacheEvent]:
        return [event for event in super().drain_events() if not isinstance(event, BlockRemoved)]


class TellsNoParents(Fault):
    """Stored blocks are announced without the block before them [EVENT-3]."""

    shown_by, shows = "Allocate CacheBlocks", "event"

    def drain_events(self) -> list[KVCacheEvent]:
        return [
            BlockStored(event.block_hashes, None, *(getattr(event, f) for f in event.__struct_fields__[2:]))
            if isinstance(event, BlockStored)
            else event
            for event in super().drain_events()
        ]


class RefusesWhatJustFits(Fault):
    """An allocation that takes the last free block is refused [ALLOC-7]."""

    shown_by, shows = "Allocate", "blocks"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)

        def allocate(*arguments: Any, reserved_blocks: int = 0, **others: Any) -> Any:
            return original(*arguments, reserved_blocks=reserved_blocks + 1, **others)

        original = self.replace("allocate_slots", allocate)


class CachesWhatIsStillLoading(Fault):
    """External tokens are cached before they have arrived [PROTO-3]."""

    shown_by, shows = "Allocate", "prefix map"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)

        def allocate(*arguments: Any, **given: Any) -> Any:
            return original(*arguments, **given | {"delay_cache_blocks": False})

        original = self.replace("allocate_slots", allocate)


class TakesTheYoungestBlocks(Fault):
    """Blocks are taken from the back of the free queue [QUEUE-3]."""

    shown_by, shows = "Allocate", "blocks"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        pool = self.manager.pool
        take = pool.take

        def take_back(count: Any) -> list[KVCacheBlock]:
            for block in list(pool.free_queue)[len(pool.free_queue) - count :]:
                pool.free_queue.move_to_end(block, last=False)
            return take(count)

        pool.take = take_back  # type: ignore[method-assign]


class HitsTheYoungestDuplicate(Fault):
    """Of several blocks with one content the last one cached is hit [MAP-2]."""

    shown_by, shows = "Lookup", "blocks"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        pool = self.manager.pool

        def find(key: Any) -> KVCacheBlock | None:
            return next(reversed(pool.prefix_map.get(key, {}).values()), None)

        pool.find = find  # type: ignore[method-assign]


class KeepsWhatIsNotRead(Fault):
    """Blocks behind the window stay with their request [SKIP-1]."""

    shown_by, shows = "Allocate RemoveSkipped", "free queue"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.replace("remove_skipped_blocks", lambda *_: None)


class ForgetsThatStepsBegin(Fault):
    """The states of the last step are never computed [MAMBA-4]."""

    shown_by, shows = "NewStep", "step keys"

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.replace("new_step_starts", lambda: None)


class SaysThatItReset(Fault):
    """A reset that was refused is told as done [RESET-1]."""

    shown_by, shows, within = "Reset", "done", 160

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)

        def reset() -> bool:
            original()
            return True

        original = self.replace("reset_prefix_cache", reset)


class ReadsUnasked(Fault):
    """A request that does not want to read the cache reads it [HIT-8]."""

    shown_by, shows = "Lookup", "stats"

    def new_request(self, operation: NewRequest) -> Request:
        request = super().new_request(operation)
        request.skip_reading_prefix_cache = False
        return request


class IgnoresUnknownBlocks(Fault):
    """Blocks outside the pool are evicted without a word [POOL-8]."""

    shown_by, shows = "Evict", "error"

    def apply(self, operation: Operation) -> Observation:
        if isinstance(operation, Evict):
            count = len(self.manager.pool.blocks)
            operation = Evict(tuple(block for block in operation.blocks if block < count))
        return super().apply(operation)


class RefusesWindows(Fault):
    """Sliding windows cannot be built [CFG-3]."""

    shown_by, shows = "construction", "construction"

    def __init__(self, configuration: Configuration) -> None:
        if any(isinstance(group, SlidingGroup) for group in configuration.groups):
            raise ConfigurationError("no windows")
        super().__init__(configuration)


class RoundsUsage(Fault):
    """The share of held blocks is told in percent [USAGE-1]."""

    shown_by, shows = "NewRequest Allocate Free RemoveSkipped", "usage"

    def view(self) -> View:
        view = super().view()
        return View(
            view.ref_counts,
            view.keys,
            view.free_queue,
            view.prefix_map,
            view.tables,
            view.handled,
            view.reserved,
            view.step_keys,
            round(view.usage, 2),
            view.stats,
        )


FAULTS: list[type[Fault]] = [
    FreesInReverse,
    LeaksABlock,
    HitsTheLastToken,
    HitsTheYoungestDuplicate,
    CountsAQueryTooMany,
    ReadsUnasked,
    TellsNoRemovals,
    TellsNoParents,
    RefusesWhatJustFits,
    CachesWhatIsStillLoading,
    TakesTheYoungestBlocks,
    KeepsWhatIsNotRead,
    ForgetsThatStepsBegin,
    SaysThatItReset,
    IgnoresUnknownBlocks,
    RefusesWindows,
    RoundsUsage,
]
