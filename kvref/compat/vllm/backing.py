"""What a manager offers to the views: the seam behind which each of kvref's managers stands.

A white-box test looks at more than the public API. These protocols say what else there is to be
seen of any manager: a queue, a map, a pool, groups. `BACKINGS` names who implements them.
"""

import importlib
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from typing import Any, Protocol

from kvref.blocks import KVCacheBlocks
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.config import ManagerConfig
from kvref.errors import UserError
from kvref.events import KVCacheEvent
from kvref.kv_cache_spec import KVCacheSpec
from kvref.request import Request
from kvref.stats import MetricsCollector, PrefixCacheStats
from spec.units import BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens

BACKINGS = {"optimized": "kvref.compat.vllm.optimized", "reference": "kvref.compat.vllm.reference"}
"""Managers by name, each with the module whose `BACKING` offers it."""


class FreeQueue(Protocol):
    """The blocks without a user, first to be taken first [QUEUE-1 to QUEUE-6]."""

    def __iter__(self) -> Iterator[KVCacheBlock]: ...
    def __len__(self) -> int: ...
    def __contains__(self, block: object) -> bool: ...

    def take_first(self) -> KVCacheBlock:
        """Take the first block out."""

    def remove(self, block: KVCacheBlock) -> None:
        """Take a block out, wherever it is."""

    def append(self, block: KVCacheBlock) -> None:
        """Put a block last."""

    def prepend(self, block: KVCacheBlock) -> None:
        """Put a block first."""


class PrefixMap(Protocol):
    """Which blocks hold a content, oldest first [MAP-1 to MAP-5]."""

    def __iter__(self) -> Iterator[BlockKey]: ...
    def __len__(self) -> int: ...

    def holders(self, key: BlockKey) -> Mapping[BlockId, KVCacheBlock]:
        """The blocks with this content, now; none if there are none."""

    def find(self, key: BlockKey) -> KVCacheBlock | None:
        """The oldest of them."""

    def insert(self, key: BlockKey, block: KVCacheBlock) -> None:
        """Let the block be found under the key."""

    def remove(self, key: BlockKey, block_id: BlockId) -> KVCacheBlock | None:
        """Let the block be found under the key no more; None if it was not."""


class Pool(Protocol):
    """The blocks, and what is done to them by hand [POOL-1 to POOL-8]."""

    queue: FreeQueue
    prefix_map: PrefixMap

    @property
    def blocks(self) -> Sequence[KVCacheBlock]:
        """All blocks, by id."""

    @property
    def events(self) -> list[KVCacheEvent]:
        """The events that nobody took so far."""

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held."""

    def take(self, count: Blocks) -> list[KVCacheBlock]:
        """Take blocks out of the queue."""

    def hold(self, blocks: Sequence[KVCacheBlock]) -> None:
        """One more user for each block. Raises RuntimeError for one that is neither held nor queued."""

    def release(self, blocks: Sequence[KVCacheBlock], *, front: bool) -> None:
        """One user less for each block; the unused ones are queued, in order."""

    def uncache(self, block: KVCacheBlock) -> None:
        """Forget a block's content."""

    def reset(self) -> bool:
        """Forget all content, if nothing is held."""

    def cache(
        self,
        request: Request,
        blocks: Sequence[KVCacheBlock],
        first: int,
        end: int,
        block_size: Tokens,
        group_id: GroupId,
    ) -> None:
        """Cache the blocks [first, end) of a request's table; null ones are left out."""

    def longest_hit(
        self,
        hashes: Sequence[BlockHash],
        max_length: Tokens,
        group_ids: Sequence[GroupId],
        spec: KVCacheSpec,
        alignment: Tokens,
        *,
        eagle: bool,
        context_parallel_size: int,
    ) -> tuple[list[KVCacheBlock], ...]:
        """The tables of the longest hit that groups of one spec have of these block hashes."""


class Group(Protocol):
    """The tables of one group, and the steps of an allocation."""

    new_block_ids: list[BlockId]
    eagle: bool

    @property
    def step_keys(self) -> set[BlockKey]:
        """The states that were cached in this step [MAMBA-3]."""

    def forget_step_keys(self) -> None:
        """A step begins: they are computed [MAMBA-4]."""

    def requests(self) -> list[RequestId]:
        """Who has a table."""

    def table(self, request_id: RequestId) -> MutableSequence[KVCacheBlock]:
        """The live table of a request that has one."""

    def set_table(self, request_id: RequestId, blocks: MutableSequence[KVCacheBlock]) -> None:
        """Let this very list show the request's table."""

    def drop_table(self, request_id: RequestId) -> None:
        """Forget the table, and release nothing."""

    def handled(self, request_id: RequestId) -> Blocks:
        """How many leading entries were offered to the prefix cache [DATA-8]."""

    def set_handled(self, request_id: RequestId, blocks: Blocks) -> None:
        """Set that number."""

    def need(
        self,
        request_id: RequestId,
        slots: Tokens,
        hits: Sequence[KVCacheBlock],
        computed: Tokens,
        main: Tokens,
    ) -> Blocks:
        """Free blocks that an allocation takes [NEED-1]; more than there are for an uncomputed state [MAMBA-3]."""

    def bind(
        self, request_id: RequestId, hits: Sequence[KVCacheBlock], local: Tokens, external: Tokens
    ) -> None:
        """Start a request's table with its hits and with blocks for external tokens [BIND-1].

        Raises ValueError if the pool has too few for those.
        """

    def grow(self, request_id: RequestId, slots: Tokens, main: Tokens) -> list[KVCacheBlock]:
        """Append blocks for slots [GET-1]. Raises ValueError if the pool has too few."""

    def cache_blocks(self, request: Request, tokens: Tokens, interval: Tokens | None) -> None:
        """Cache all full blocks among the first tokens that this retention interval keeps [MGR-4]."""

    def remove_skipped_blocks(self, request_id: RequestId, computed: Tokens) -> None:
        """Release what no later step reads [SKIP-1]."""

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """How many leading tokens no later step reads [MGR-2]."""

    def free(self, request_id: RequestId) -> None:
        """Release the whole table [FREE-1]."""

    def common_prefix_blocks(self, request_id: RequestId) -> Blocks:
        """Leading blocks that every request holds [COMMON-1]."""


class Manager(Protocol):
    """A kvref manager's public API: vLLM's own, over kvref's data types."""

    prefix_cache_stats: PrefixCacheStats | None
    empty_kv_cache_blocks: KVCacheBlocks

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held."""

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        """The longest hit."""

    def allocate_slots(
        self,
        request: Request,
        num_new_tokens: int,
        num_new_computed_tokens: int = 0,
        new_computed_blocks: KVCacheBlocks | None = None,
        num_lookahead_tokens: int = 0,
        num_external_computed_tokens: int = 0,
        delay_cache_blocks: bool = False,
        num_encoder_tokens: int = 0,
        full_sequence_must_fit: bool = False,
        reserved_blocks: int = 0,
    ) -> KVCacheBlocks | None:
        """Slots for the next step."""

    def create_kv_cache_blocks(self, blocks: tuple[Sequence[KVCacheBlock], ...]) -> KVCacheBlocks:
        """Blocks as a result."""

    def cache_blocks(self, request: Request, num_computed_tokens: int) -> None:
        """Cache full blocks."""

    def free(self, request: Request) -> None:
        """Release a request's blocks."""

    def remove_skipped_blocks(self, request_id: RequestId, total_computed_tokens: int) -> None:
        """Release what no later step reads."""

    def evict_blocks(self, block_ids: set[int]) -> None:
        """Forget the content of blocks."""

    def reset_prefix_cache(self) -> bool:
        """Forget all content."""

    def new_step_starts(self) -> None:
        """A scheduling step begins."""

    def get_blocks(self, request_id: RequestId) -> KVCacheBlocks:
        """A request's tables."""

    def get_block_ids(self, request_id: RequestId) -> tuple[list[BlockId], ...]:
        """Their ids."""

    def get_num_common_prefix_blocks(self, running_request_id: RequestId) -> list[Blocks]:
        """Leading blocks that all requests share, by group."""

    def take_new_block_ids(self) -> list[BlockId]:
        """The blocks to zero."""

    def take_events(self) -> list[KVCacheEvent]:
        """The events since the last call."""

    def make_prefix_cache_stats(self) -> PrefixCacheStats | None:
        """The statistics since the last call."""


class Backing(Protocol):
    """Builds managers, and the parts that tests build by themselves."""

    def manager(
        self, config: ManagerConfig, metrics: MetricsCollector | None
    ) -> tuple[Manager, Pool, list[Group]]:
        """A manager, its pool and its groups. Raises ConfigurationError if it is refused."""

    def pool(
        self,
        num_blocks: int,
        hash_block_size: Tokens,
        *,
        caches: bool,
        records_events: bool,
        metrics: MetricsCollector | None,
    ) -> Pool:
        """A pool without a manager."""

    def group(self, group_id: GroupId, config: ManagerConfig, pool: Pool) -> Group:
        """A group without a manager, over a pool that `pool` made."""


_current: list[Any] = []


def managers() -> list[str]:
    """The managers that can stand behind the views."""
    return sorted(BACKINGS)


def use(manager: str) -> None:
    """Let `manager` stand behind the views. Raises UserError for an unknown one."""
    if manager not in BACKINGS:
        raise UserError(f"no manager is called {manager!r}: choose one of {', '.join(managers())}")
    _current[:] = [importlib.import_module(BACKINGS[manager]).BACKING]


def backing() -> Backing:
    """What stands behind the views. Raises UserError before `install`."""
    if not _current:
        raise UserError("nothing stands behind the views: call kvref.compat.vllm.install first")
    chosen: Backing = _current[0]
    return chosen


def a_pool() -> Pool:
    """A pool of no blocks but the null one, for a queue or a map that stands alone."""
    return backing().pool(1, Tokens(1), caches=True, records_events=False, metrics=None)
