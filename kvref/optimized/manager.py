"""The facade: vLLM's public API over a pool, and one set of tables a request."""

from collections.abc import Iterable, Sequence
from typing import Final, final

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.config import KVCacheConfig, ManagerConfig
from kvref.events import KVCacheEvent
from kvref.request import Request
from kvref.stats import MetricsCollector, PrefixCacheStats

from .allocation import Allocator, Extent
from .groups import Group, group_of, reserved_blocks
from .lookup import Lookup
from .mistakes import check_blocks, check_call, check_counts, check_hashed, check_hits, check_slots
from .pool import BlockPool
from .prefix_map import PrefixMap
from .results import BlockIds, rows_of
from .runs import Run
from .tables import free


@final
class KVCacheManager:
    """Hands out blocks, shares them between requests with a common prefix, and evicts them.

    Lengths and sizes are in tokens. Raises ConfigurationError for what it cannot honour [CFG-3].
    It decides exactly what `kvref.reference.KVCacheManager` decides, which is the one to read.
    """

    def __init__(
        self,
        kv_cache_config: KVCacheConfig,
        max_model_len: int,
        scheduler_block_size: int,
        hash_block_size: int,
        max_num_batched_tokens: int | None = None,
        enable_caching: bool = True,
        use_eagle: bool = False,
        log_stats: bool = False,
        enable_kv_cache_events: bool = False,
        dcp_world_size: int = 1,
        pcp_world_size: int = 1,
        metrics_collector: MetricsCollector | None = None,
        retention_interval: int | None = None,
    ) -> None:
        config = ManagerConfig(
            kv_cache_config,
            max_model_len,
            scheduler_block_size,
            hash_block_size,
            max_num_batched_tokens,
            enable_caching,
            use_eagle,
            log_stats,
            enable_kv_cache_events,
            dcp_world_size,
            pcp_world_size,
            retention_interval,
        )
        self.config: Final = config
        self.groups: Final[list[Group]] = [group_of(index, config) for index in range(len(config.groups))]
        maps = [PrefixMap(group.hashes_per_block) for group in self.groups]
        if enable_caching:
            runs: list[Run | None] = [None] * kv_cache_config.num_blocks
            for group, one in zip(self.groups, maps, strict=True):
                if group.is_full or group.frees_scratch_first:
                    one.keep_runs(runs, is_full=group.is_full)
        self.pool: Final = BlockPool(
            kv_cache_config.num_blocks,
            reserved_blocks(config.groups),
            maps,
            metrics_collector,
            enable_caching,
            enable_kv_cache_events,
        )
        members = _members_by_spec(config)
        self._lookup: Final = Lookup(self.groups, members, maps, config.hit_alignment if self.groups else 1)
        self._allocator: Final = Allocator(config, self.groups, members, self.pool)
        self.tables: Final = self._allocator.tables
        self.new_ids: Final = self._allocator.new_ids
        self.empty_kv_cache_blocks: Final = self._allocator.empty
        self.prefix_cache_stats: PrefixCacheStats | None = PrefixCacheStats() if log_stats else None
        self._caching: Final = enable_caching

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held: 0.0 to 1.0 [USAGE-1]."""
        return self.pool.usage

    # Lookup

    def get_computed_blocks(self, request: Request) -> tuple[BlockIds, int]:
        """The longest hit: its blocks by group, and its length in tokens [HIT-6, HIT-8, HIT-9].

        Changes nothing but statistics. Nothing is looked up with caching off, or for a request that
        does not want to read the cache.
        """
        if not self._caching or request.skip_reading_prefix_cache:
            return self.empty_kv_cache_blocks, 0
        tokens = request.num_tokens
        rows, length = self._lookup.longest_hit(request.block_hashes, tokens - 1)  # type: ignore[arg-type]
        if self.prefix_cache_stats is not None:
            preempted = request.num_preemptions > 0
            self.prefix_cache_stats.record(tokens, length, preempted=preempted)  # type: ignore[arg-type]
        if not length:
            return self.empty_kv_cache_blocks, 0
        return BlockIds(self.pool, rows, request, length), length

    # Allocation

    def allocate_slots(
        self,
        request: Request,
        num_new_tokens: int,
        num_new_computed_tokens: int = 0,
        new_computed_blocks: BlockIds | KVCacheBlocks | None = None,
        num_lookahead_tokens: int = 0,
        num_external_computed_tokens: int = 0,
        delay_cache_blocks: bool = False,
        num_encoder_tokens: int = 0,
        full_sequence_must_fit: bool = False,
        reserved_blocks: int = 0,
    ) -> BlockIds | None:
        """Give the request slots for its next step, or None if they do not fit [ALLOC-1 to ALLOC-15].

        The slots cover, from left to right: computed tokens (held, hit, external), `num_new_tokens`,
        and lookahead. Returns the blocks that were appended, without hits and external blocks
        [ALLOC-13, Q-22]. A refusal leaves everything as it was but for the blocks that the request
        no longer reads, which are released first [ALLOC-5, Q-21].
        """
        tables = self.tables.get(request.request_id)
        if (
            tables is not None
            and new_computed_blocks is None
            and num_new_tokens > 0
            and num_lookahead_tokens >= 0
            and reserved_blocks >= 0
            and not (
                num_new_computed_tokens
                or num_external_computed_tokens
                or num_encoder_tokens
                or full_sequence_must_fit
            )
        ):
            local = request.num_computed_tokens
            if local + num_new_tokens + num_lookahead_tokens <= tables.quiet:
                # Most steps of a decoding request end here, without a look at any group.
                return self.empty_kv_cache_blocks
            return self._allocator.step(
                request,
                tables,
                local,
                num_new_tokens,
                num_lookahead_tokens,
                0,
                not delay_cache_blocks,
                reserved_blocks,
            )
        check_counts(
            (
                num_new_tokens,
                num_new_computed_tokens,
                num_external_computed_tokens,
                num_encoder_tokens,
                num_lookahead_tokens,
                reserved_blocks,
            )
        )
        groups, pool = self.groups, self.pool
        found = new_computed_blocks
        rows = None if found is None else rows_of(found)
        check_call(
            request,
            rows,
            num_new_tokens,
            num_external_computed_tokens,
            len(groups),
            caching=self._caching,
            holds=tables is not None,
        )
        if rows is None or not any(rows):
            rows = self.empty_kv_cache_blocks.rows
        elif not (isinstance(found, BlockIds) and found.is_hit_of(request, num_new_computed_tokens, pool)):
            check_hits(request, rows, num_new_computed_tokens, groups, pool)
        extent = Extent(
            request.num_computed_tokens + num_new_computed_tokens,
            num_external_computed_tokens,
            num_new_tokens,
            num_lookahead_tokens,
            num_encoder_tokens,
        )
        return self._allocator.allocate(
            request, rows, extent, not delay_cache_blocks, full_sequence_must_fit, reserved_blocks
        )

    def cache_blocks(self, request: Request, num_computed_tokens: int) -> None:
        """Cache the full blocks among the first `num_computed_tokens` tokens [ALLOC-16, MGR-4].

        Nothing happens with caching off. Raises UnhashedTokensError for tokens without hash or slot.
        """
        if not self._caching:
            return
        tables = self.tables.get(request.request_id)
        check_counts((num_computed_tokens,))
        check_hashed(request, num_computed_tokens, self.config.hash_block_size, self.groups)
        check_slots(request, num_computed_tokens, self.groups, tables)
        if tables is None:
            return
        self._allocator.cache(request, tables, num_computed_tokens)

    # Release

    def free(self, request: Request) -> None:
        """Release all blocks of the request, group after group, tails first [FREE-3, FREE-4]."""
        tables = self.tables.pop(request.request_id, None)
        if tables is not None:
            for group in self.groups:
                free(self.pool, group, tables)

    def remove_skipped_blocks(self, request_id: str, total_computed_tokens: int) -> None:
        """Release the blocks that no later step reads [ALLOC-16, SKIP-1]."""
        tables = self.tables.get(request_id)
        if tables is not None:
            self._allocator.release(tables, total_computed_tokens)

    def evict_blocks(self, block_ids: Iterable[int]) -> None:
        """Forget the content of these blocks, whoever holds them [POOL-8, Q-19]."""
        blocks = list(dict.fromkeys(block_ids))
        check_blocks(blocks, self.pool)
        for block in blocks:
            self.pool.evict(block)

    def reset_prefix_cache(self) -> bool:
        """Forget all content; False, and nothing done, while any block is held [RESET-1, RESET-2]."""
        if not self.pool.reset():
            return False
        if self.prefix_cache_stats is not None:
            self.prefix_cache_stats.reset = True
        return True

    def new_step_starts(self) -> None:
        """A scheduling step begins: the states of the last one are computed [PROTO-1, MAMBA-4]."""
        for one in self.pool.maps:
            one.cached_this_step.clear()

    # Queries

    def get_blocks(self, request_id: str) -> BlockIds:
        """The request's live tables by group [ALLOC-17, COORD-2]."""
        tables = self.tables.get(request_id)
        if tables is None or not any(tables.rows):
            return self.empty_kv_cache_blocks
        return BlockIds(self.pool, tables.rows)

    def get_block_ids(self, request_id: str) -> tuple[list[int], ...]:
        """The ids of `get_blocks`, 0 for null entries [ALLOC-17]."""
        tables = self.tables.get(request_id)
        rows = self.empty_kv_cache_blocks.rows if tables is None else tables.rows
        return tuple([row[:] for row in rows])

    def create_kv_cache_blocks(self, blocks: tuple[Sequence[KVCacheBlock], ...]) -> BlockIds:
        """`blocks` as a result, the one constant empty result if there are none [DATA-7]."""
        if not any(blocks):
            return self.empty_kv_cache_blocks
        return BlockIds(self.pool, [[block.block_id for block in row] for row in blocks])

    def get_num_common_prefix_blocks(self, running_request_id: str) -> list[int]:
        """By group, how many leading blocks all requests share [COMMON-1 to COMMON-3]."""
        tables = self.tables.get(running_request_id)
        counts = [0] * len(self.groups)
        if tables is None or not self._caching:
            return counts
        everybody = len(self.tables)
        of = self.pool.stretches.of
        for group in self.groups:
            if group.is_full:
                row = tables.rows[group.index]
                count = 0
                while count < len(row) and of[row[count]].users == everybody:
                    count += len(of[row[count]].blocks)
                counts[group.index] = count
        return counts

    # Reports

    def take_new_block_ids(self) -> list[int]:
        """The blocks taken since the last call whose memory is to be zeroed, once [IDS-1, MGR-3]."""
        taken = [block for ids in self._allocator.new_ids for block in ids]
        for ids in self._allocator.new_ids:
            ids.clear()
        return taken

    def take_events(self) -> list[KVCacheEvent]:
        """The events since the last call, in order, once [EVENT-1]."""
        events = self.pool.events
        self.pool.events = []
        return events

    def make_prefix_cache_stats(self) -> PrefixCacheStats | None:
        """The statistics since the last call; None if they are not kept [STATS-2]."""
        stats = self.prefix_cache_stats
        if stats is not None:
            self.prefix_cache_stats = PrefixCacheStats()
        return stats


def _members_by_spec(config: ManagerConfig) -> list[list[int]]:
    """The groups with an equal spec, by their first member [HIT-2]."""
    specs = config.specs
    members: list[list[int]] = []
    for index, spec in enumerate(specs):
        for own in members:
            if specs[own[0]] == spec:
                own.append(index)
                break
        else:
            members.append([index])
    return members
