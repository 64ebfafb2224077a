"""The reference KV cache manager: vLLM 0.23.0's public API over `spec`'s definitions.

Every call has the same phases, in this order: CHECK the caller, RELEASE what is no longer read,
COUNT what is needed, ADOPT what was hit, TAKE what is fresh, RECORD what can now be found. A
caller's mistake is raised in CHECK, before any state changes.
"""

from collections.abc import Iterable, Sequence

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.config import KVCacheConfig, ManagerConfig
from kvref.errors import (
    ForeignHitError,
    NegativeCountError,
    NothingToAllocateError,
    UnhashedTokensError,
    UnknownBlockError,
)
from kvref.events import KVCacheEvent
from kvref.kv_cache_spec import KVCacheSpec
from kvref.reference.groups import Group
from kvref.reference.pool import BlockPool
from kvref.request import Request
from kvref.stats import MetricsCollector, PrefixCacheStats
from spec import capacity, hits
from spec.units import BlockId, Blocks, GroupId, RequestId, Tokens


class KVCacheManager:
    """Hands out blocks, shares them between requests with a common prefix, and evicts them.

    Lengths and sizes are in tokens. Raises ConfigurationError for what it cannot honour [CFG-3].
    `retention_interval` is what the observed system reads from its environment [RETAIN-1].
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
            kv_cache_config=kv_cache_config,
            max_model_len=max_model_len,
            scheduler_block_size=scheduler_block_size,
            hash_block_size=hash_block_size,
            max_num_batched_tokens=max_num_batched_tokens,
            enable_caching=enable_caching,
            use_eagle=use_eagle,
            log_stats=log_stats,
            enable_kv_cache_events=enable_kv_cache_events,
            dcp_world_size=dcp_world_size,
            pcp_world_size=pcp_world_size,
            retention_interval=retention_interval,
        )
        self.config = config
        self.pool = BlockPool(
            kv_cache_config.num_blocks,
            caches=enable_caching,
            records_events=enable_kv_cache_events,
            metrics=metrics_collector,
        )
        self.groups = [Group(GroupId(i), config, self.pool) for i in range(len(config.groups))]
        self.prefix_cache_stats = PrefixCacheStats() if log_stats else None
        self.empty_kv_cache_blocks = KVCacheBlocks(tuple(() for _ in self.groups))

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held: 0.0 to 1.0 [USAGE-1]."""
        return self.pool.usage

    # Lookup

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        """The longest hit: its blocks by group, and its length in tokens [HIT-6, HIT-8, HIT-9].

        Changes nothing but statistics. Nothing is looked up with caching off, or for a request that
        does not want to read the cache.
        """
        if not self.config.enable_caching or request.skip_reading_prefix_cache:
            return self.empty_kv_cache_blocks, Tokens(0)
        length = hits.longest_hit(
            self.spec_groups(request), request.num_tokens, Tokens(self.config.hit_alignment)
        )
        if self.prefix_cache_stats is not None:
            self.prefix_cache_stats.record(request.num_tokens, length, preempted=request.num_preemptions > 0)
        return self.create_kv_cache_blocks(
            tuple(group.hit_blocks(request, length) for group in self.groups)
        ), length

    def spec_groups(self, request: Request) -> list[hits.SpecGroup]:
        """Groups with an equal spec, looked up together [HIT-2]."""

        def spec_group(spec: KVCacheSpec) -> hits.SpecGroup:
            members = [group for group in self.groups if group.spec == spec]
            return hits.SpecGroup(
                members[0].attention,
                members[0].eagle,
                lambda index: all(group.find(request, index) is not None for group in members),
            )

        return [spec_group(spec) for spec in dict.fromkeys(group.spec for group in self.groups)]

    def create_kv_cache_blocks(self, blocks: tuple[Sequence[KVCacheBlock], ...]) -> KVCacheBlocks:
        """`blocks` as a result, the one constant empty result if there are none [DATA-7]."""
        return KVCacheBlocks(blocks) if any(blocks) else self.empty_kv_cache_blocks

    # Allocation

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
        """Give the request slots for its next step, or None if they do not fit [ALLOC-1 to ALLOC-15].

        The slots cover, from left to right: computed tokens (held, hit, external), `num_new_tokens`,
        and lookahead. Returns the blocks that were appended, without hits and external blocks
        [ALLOC-13, Q-22]. A refusal leaves everything as it was but for the blocks that the request
        no longer reads, which are released first [ALLOC-5, Q-21].
        """
        # CHECK
        found = (new_computed_blocks or self.empty_kv_cache_blocks).blocks
        local = Tokens(request.num_computed_tokens + num_new_computed_tokens)
        external = Tokens(num_external_computed_tokens)
        longest = self.config.max_model_len
        computed = Tokens(min(local + external, longest))
        main = Tokens(computed + num_new_tokens)
        encoder = Tokens(num_encoder_tokens)
        step = capacity.Step(
            local, external, main, Tokens(min(main + num_lookahead_tokens, longest)), encoder
        )
        full = Tokens(min(main, request.num_tokens, step.slots))
        caches_now = self.config.enable_caching and not delay_cache_blocks
        counts = (num_new_tokens, num_new_computed_tokens, external, encoder, num_lookahead_tokens)
        self._check_counts(*counts, reserved_blocks)
        self._check_call(request, found, num_new_tokens, external)
        self._check_hits(request, found, num_new_computed_tokens)
        if caches_now:
            self._check_hashed(request, full)
        blocked = any(group.hits_uncomputed_state(own) for group, own in zip(self.groups, found, strict=True))
        free = self.pool.num_free
        if full_sequence_must_fit:
            end = Tokens(min(request.num_tokens, longest))
            whole = capacity.Step(local, external, end, end, encoder)
            need = sum(
                group.admission_need(request.request_id, own, whole, Tokens(num_lookahead_tokens))
                for group, own in zip(self.groups, found, strict=True)
            )
            if blocked or not capacity.fits(Blocks(need), free):
                return None
        # RELEASE
        self.remove_skipped_blocks(request.request_id, computed)
        # COUNT
        plans = [
            (group, own, group.plan(request.request_id, own, step))
            for group, own in zip(self.groups, found, strict=True)
        ]
        need = sum(plan.need for _, _, plan in plans)
        if blocked or not capacity.fits(Blocks(need), self.pool.num_free, Blocks(reserved_blocks)):
            return None
        # ADOPT
        for group, own, plan in plans:
            group.adopt(request.request_id, own, plan)
        # TAKE
        for group, _, plan in plans:
            group.take_external(request.request_id, plan)
        appended = tuple(group.grow(request.request_id, plan) for group, _, plan in plans)
        # RECORD
        if caches_now:
            for group in self.groups:
                group.cache_blocks(request, full)
        return self.create_kv_cache_blocks(appended)

    def _holds_table(self, request_id: RequestId) -> bool:
        return any(request_id in group.tables for group in self.groups)

    def _check_counts(self, *counts: int) -> None:
        if any(count < 0 for count in counts):
            raise NegativeCountError(
                f"one of the counts {counts} is negative; counts of tokens and blocks start at 0"
            )

    def _check_call(
        self, request: Request, found: tuple[Sequence[KVCacheBlock], ...], new: int, external: int
    ) -> None:
        name = request.request_id
        if new == 0 and external == 0:
            raise NothingToAllocateError(
                f"request {name}: num_new_tokens must be greater than 0 unless external tokens come"
            )
        if len(found) != len(self.groups):
            raise ForeignHitError(
                f"request {name}: hits for {len(found)} groups, but there are {len(self.groups)}"
            )
        if any(found) and not self.config.enable_caching:
            raise ForeignHitError(f"request {name}: hits should be empty when prefix caching is disabled")
        if (any(found) or external > 0) and self._holds_table(name):
            raise ForeignHitError(
                f"request {name} holds a block table already: hits and external tokens are for a "
                "new or a preempted request"
            )

    def _check_hits(self, request: Request, found: tuple[Sequence[KVCacheBlock], ...], tokens: int) -> None:
        """Whether the hits hold the request's content still, and as many tokens as told [ALLOC-18]."""
        for group, own in zip(self.groups, found, strict=True):
            held = len(own) * group.attention.block_size
            if any(found) and held != tokens:
                raise ForeignHitError(
                    f"request {request.request_id}: group {group.group_id} has hits for {held} tokens, "
                    f"num_new_computed_tokens says {tokens}; pass what the lookup returned"
                )
            for index, block in enumerate(own):
                if not block.is_null and block.block_hash != group.key(request, index):
                    raise ForeignHitError(
                        f"request {request.request_id}: block {block.block_id} does not hold block {index} "
                        f"of group {group.group_id} (any more); look up again right before allocating"
                    )

    def _check_hashed(self, request: Request, tokens: Tokens) -> None:
        """Whether the request's hashes cover its full blocks [CACHE-2, HASH-8]."""
        hashed = len(request.block_hashes) * self.config.hash_block_size
        for group in self.groups:
            wanted = group.cacheable_blocks(tokens) * group.attention.block_size
            if wanted > hashed:
                raise UnhashedTokensError(
                    f"request {request.request_id}: {wanted} tokens are to be cached, but only "
                    f"{hashed} are hashed; give the request a block hasher, or fewer tokens"
                )

    def cache_blocks(self, request: Request, num_computed_tokens: int) -> None:
        """Cache the full blocks among the first `num_computed_tokens` tokens [ALLOC-16, MGR-4].

        Nothing happens with caching off. Raises UnhashedTokensError for tokens without hash or slot.
        """
        if not self.config.enable_caching:
            return
        tokens = Tokens(num_computed_tokens)
        self._check_counts(tokens)
        self._check_hashed(request, tokens)
        for group in self.groups:
            table = group.tables.get(request.request_id)
            held = len(table.blocks) if table else 0
            if group.cacheable_blocks(tokens) > held:
                raise UnhashedTokensError(
                    f"request {request.request_id}: {tokens} tokens are to be cached, but group "
                    f"{group.group_id} holds {held} blocks of {group.attention.block_size} tokens"
                )
        if self._holds_table(request.request_id):
            for group in self.groups:
                group.cache_blocks(request, tokens)

    # Release

    def free(self, request: Request) -> None:
        """Release all blocks of the request, group after group, tails first [FREE-3, FREE-4]."""
        for group in self.groups:
            group.free(request.request_id)

    def remove_skipped_blocks(self, request_id: RequestId, total_computed_tokens: int) -> None:
        """Release the blocks that no later step reads [ALLOC-16, SKIP-1]."""
        for group in self.groups:
            group.remove_skipped_blocks(request_id, Tokens(total_computed_tokens))

    def evict_blocks(self, block_ids: Iterable[int]) -> None:
        """Forget the content of these blocks, whoever holds them [POOL-8, Q-19]."""
        wanted = sorted(set(block_ids))
        for block_id in wanted:
            if not 0 <= block_id < len(self.pool.blocks):
                raise UnknownBlockError(
                    f"Invalid block_id {block_id}: the pool has {len(self.pool.blocks)} blocks"
                )
        for block_id in wanted:
            self.pool.uncache(self.pool.blocks[block_id])

    def reset_prefix_cache(self) -> bool:
        """Forget all content; False, and nothing done, while any block is held [RESET-1, RESET-2]."""
        done = self.pool.reset()
        if done and self.prefix_cache_stats is not None:
            self.prefix_cache_stats.reset = True
        return done

    def new_step_starts(self) -> None:
        """A scheduling step begins: the states of the last one are computed [PROTO-1, MAMBA-4]."""
        for group in self.groups:
            group.cached_this_step.clear()

    # Queries

    def get_blocks(self, request_id: RequestId) -> KVCacheBlocks:
        """The request's live tables by group [ALLOC-17, COORD-2]."""
        tables = [group.tables.get(request_id) for group in self.groups]
        return self.create_kv_cache_blocks(tuple(table.blocks if table else [] for table in tables))

    def get_block_ids(self, request_id: RequestId) -> tuple[list[BlockId], ...]:
        """The ids of `get_blocks`, 0 for null entries [ALLOC-17]."""
        return self.get_blocks(request_id).get_block_ids()

    def get_num_common_prefix_blocks(self, running_request_id: RequestId) -> list[Blocks]:
        """By group, how many leading blocks all requests share [COMMON-1 to COMMON-3]."""
        if not self.config.enable_caching:
            return [Blocks(0) for _ in self.groups]
        return [group.common_prefix_blocks(running_request_id) for group in self.groups]

    def take_new_block_ids(self) -> list[BlockId]:
        """The blocks taken since the last call whose memory is to be zeroed, once [IDS-1, MGR-3]."""
        taken = [block_id for group in self.groups for block_id in group.new_block_ids]
        for group in self.groups:
            group.new_block_ids = []
        return taken

    def take_events(self) -> list[KVCacheEvent]:
        """The events since the last call, in order, once [EVENT-1]."""
        events, self.pool.events = self.pool.events, []
        return events

    def make_prefix_cache_stats(self) -> PrefixCacheStats | None:
        """The statistics since the last call; None if they are not kept [STATS-2]."""
        stats = self.prefix_cache_stats
        if stats is not None:
            self.prefix_cache_stats = PrefixCacheStats()
        return stats
