"""One KV cache group: the block tables of its requests, and what `spec` says of them.

A group decides nothing: it asks `spec` for the shape of a table, and does that to the pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvref.blocks import KVCacheBlock
from kvref.config import ManagerConfig
from kvref.events import MEDIUM_GPU, BlockStored, event_keys
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
    TQFullAttentionSpec,
    window_of,
)
from kvref.reference.pool import BlockPool
from kvref.request import Request, extra_keys
from spec import capacity, content, eviction, retention
from spec.arithmetic import full_blocks, tokens_in
from spec.attention import (
    AlignedMambaState,
    Attention,
    ChunkedLocalAttention,
    CrossAttention,
    FullAttention,
    MambaState,
    SinkAttention,
    SlidingWindowAttention,
)
from spec.units import BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens

ZEROED_SPECS = (FullAttentionSpec, TQFullAttentionSpec, MLAAttentionSpec)
"""The classes, subclasses left out, whose new blocks are recorded for zeroing [MGR-3]."""


def attention_of(spec: KVCacheSpec, context_parallel_size: int) -> Attention:
    """What the layers of `spec` read, one table entry covering all context-parallel ranks [DCP-1, REG-1]."""
    size = Tokens(spec.block_size * context_parallel_size)
    if isinstance(spec, SinkFullAttentionSpec):
        return SinkAttention(size, Tokens(spec.sink_len or 0))
    if isinstance(spec, FullAttentionSpec):
        return FullAttention(size)
    if isinstance(spec, SlidingWindowSpec):
        return SlidingWindowAttention(size, Tokens(spec.sliding_window))
    if isinstance(spec, ChunkedLocalAttentionSpec):
        return ChunkedLocalAttention(size, Tokens(spec.attention_chunk_size))
    if isinstance(spec, MambaSpec):
        kind = AlignedMambaState if spec.mamba_cache_mode == "align" else MambaState
        return kind(size, Blocks(spec.num_speculative_blocks))
    if isinstance(spec, CrossAttentionSpec):
        return CrossAttention(size)
    raise AssertionError(f"refused at construction: {spec}")


@dataclass
class BlockTable:
    """A request's blocks in this group: entry i covers the tokens [i·b, (i+1)·b).

    The first `handled` entries were offered to the prefix cache [MGR-4, DATA-8]. `grown` tells a
    table that was given slots from one that was only bound [MAMBA-7].
    """

    blocks: list[KVCacheBlock] = field(default_factory=list)
    handled: Blocks = Blocks(0)
    grown: bool = False

    def ids(self) -> list[BlockId]:
        """The block ids, 0 for null entries."""
        return [block.block_id for block in self.blocks]


@dataclass(frozen=True)
class Plan:
    """What an allocation does to one table, and how many free blocks that takes [ALLOC-6, ALLOC-14].

    `binding` is None for a request that holds a table already.
    """

    binding: capacity.Binding | None
    growth: capacity.Growth
    need: Blocks


class Group:
    """The state of one group."""

    def __init__(self, group_id: GroupId, config: ManagerConfig, pool: BlockPool) -> None:
        spec = config.specs[group_id]
        self.group_id = group_id
        self.spec = spec
        self.attention = attention_of(spec, config.context_parallel_size)
        self.eagle = config.enable_caching and any(config.specs[g] == spec for g in config.eagle_groups)
        self.tables: dict[RequestId, BlockTable] = {}
        self.new_block_ids: list[BlockId] = []
        self.cached_this_step: set[BlockKey] = set()
        self._config = config
        self._pool = pool
        self._hashes_a_block = full_blocks(self.attention.block_size, Tokens(config.hash_block_size))
        self._retention = retention.Retention(
            Tokens(config.scheduler_block_size),
            None if config.retention_interval is None else Tokens(config.retention_interval),
        )
        if isinstance(self.attention, SinkAttention):
            pool.reserve(self.attention.reserved_blocks())

    # Looking up

    def key(self, request: Request, index: int) -> BlockKey | None:
        """The key of the request's block `index`, None while it has no hash [HASH-9, HASH-10]."""
        block_hash = self._hash(request, index)
        return None if block_hash is None else content.group_key(block_hash, self.group_id)

    def find(self, request: Request, index: int) -> KVCacheBlock | None:
        """The oldest cached block with the content of the request's block `index` [MAP-2]."""
        key = self.key(request, index)
        return None if key is None else self._pool.find(key)

    def hit_blocks(self, request: Request, length: Tokens) -> list[KVCacheBlock]:
        """The table of a hit of `length` tokens: what is not read is null [FULL-2, SWA-5, HIT-6]."""
        read = self.attention.blocks_read(length)
        found = [self.find(request, index) for index in read]
        nulls = [self._pool.null_block] * read.start
        return nulls + [block for block in found if block is not None]

    # Allocating

    def plan(self, request_id: RequestId, hits: Sequence[KVCacheBlock], step: capacity.Step) -> Plan:
        """What `step` does to the request's table [NEED-1, BIND-3, GET-1]."""
        table = self.tables.get(request_id)
        if table is not None:
            held = Blocks(len(table.blocks))
            growth = capacity.growth(self.attention, held, step, grown_before=table.grown)
            return Plan(None, growth, growth.taken)
        binding = capacity.binding(self.attention, Blocks(len(hits)), step)
        growth = capacity.growth(self.attention, binding.length, step, grown_before=False)
        evictable = sum(1 for b in hits[binding.nulls :] if b.ref_cnt == 0 and not b.is_null)
        return Plan(binding, growth, Blocks(binding.external + growth.taken + evictable))

    def admission_need(
        self,
        request_id: RequestId,
        hits: Sequence[KVCacheBlock],
        whole: capacity.Step,
        lookahead: Tokens,
    ) -> Blocks:
        """Free blocks that the `whole` sequence takes at its worst moment [ADMIT-1]."""
        table = self.tables.get(request_id)
        held = sum(1 for b in table.blocks if not b.is_null) if table else 0
        cap = capacity.most_held(
            self.attention,
            batched_tokens=Tokens(self._config.batched_tokens),
            model_tokens=Tokens(self._config.max_model_len),
            lookahead=lookahead,
        )
        return capacity.admission_need(self.plan(request_id, hits, whole).need, Blocks(held), cap)

    def hits_uncomputed_state(self, hits: Sequence[KVCacheBlock]) -> bool:
        """Whether the hit ends in a state that this very step has yet to compute [MAMBA-3]."""
        return bool(hits) and hits[-1].block_hash in self.cached_this_step

    def adopt(self, request_id: RequestId, hits: Sequence[KVCacheBlock], plan: Plan) -> None:
        """Start the request's table with its hits [BIND-5, BIND-6, BIND-7]."""
        if plan.binding is None:
            return
        kept = list(hits[plan.binding.nulls :])
        self._pool.hold(kept)
        blocks = [self._pool.null_block] * plan.binding.nulls + kept
        self.tables[request_id] = BlockTable(blocks, Blocks(len(blocks)))

    def take_external(self, request_id: RequestId, plan: Plan) -> None:
        """Blocks for the tokens that a connector brings [BIND-8]."""
        if plan.binding is not None:
            self.tables[request_id].blocks += self._take(plan.binding.external)

    def grow(self, request_id: RequestId, plan: Plan) -> list[KVCacheBlock]:
        """Append what the plan says, and return what was appended [GET-2, MAMBA-7]."""
        table, growth = self.tables[request_id], plan.growth
        held = len(table.blocks)
        table.blocks += [self._pool.null_block] * growth.nulls
        for index in growth.moved:
            table.blocks.append(table.blocks[index])
            table.blocks[index] = self._pool.null_block
        table.blocks += self._take(growth.taken)
        table.grown = True
        return table.blocks[held:]

    def _take(self, count: Blocks) -> list[KVCacheBlock]:
        taken = self._pool.take(count)
        if type(self.spec) in ZEROED_SPECS:
            self.new_block_ids += [block.block_id for block in taken]
        return taken

    # Caching

    def cacheable_blocks(self, tokens: Tokens) -> Blocks:
        """How many leading blocks may be cached once `tokens` are computed [MGR-4, COORD-5]."""
        cacheable = retention.cacheable_tokens(
            self.attention,
            Tokens(self._config.scheduler_block_size),
            eagle=self.eagle,
            lone_group=self._config.has_lone_group,
            tokens=tokens,
        )
        return full_blocks(cacheable, self.attention.block_size)

    def cache_blocks(self, request: Request, tokens: Tokens) -> None:
        """Cache the full blocks that retention keeps [MGR-4, MGR-5, CACHE-1, CACHE-4]."""
        table = self.tables[request.request_id]
        first, end = table.handled, self.cacheable_blocks(tokens)
        if first >= end:
            return
        kept = [i for i in range(first, end) if self._is_worth_caching(request, table, i)]
        for index in kept:
            key = self.key(request, index)
            assert key is not None  # noqa: S101 - the manager checked the hashes before any change
            self._pool.cache(table.blocks[index], key)
            if isinstance(self.attention, MambaState):
                self.cached_this_step.add(key)
        table.handled = end
        if self._config.enable_kv_cache_events:
            self._pool.events.append(self._stored_event(request, first, end, kept))

    def _is_worth_caching(self, request: Request, table: BlockTable, index: int) -> bool:
        return not table.blocks[index].is_null and retention.is_kept(
            self.attention,
            self._retention,
            eagle=self.eagle,
            block=Blocks(index),
            prompt_tokens=request.num_prompt_tokens,
        )

    def _stored_event(self, request: Request, first: Blocks, end: Blocks, kept: Sequence[int]) -> BlockStored:
        """The event of caching `kept` out of the blocks [first, end) [EVENT-3, EVENT-6, Q-12, Q-13]."""
        size = self.attention.block_size
        keys, item = [], 0
        for index in kept:
            start = tokens_in(Blocks(index), size)
            block_keys, item = extra_keys(request, start, start + size, item)
            keys.append(event_keys(block_keys))
        lora = request.lora_request
        return BlockStored(
            block_hashes=tuple(self._event_hash(request, index) for index in kept),
            parent_block_hash=self._event_hash(request, first - 1) if first > 0 else None,
            token_ids=tuple(request.all_token_ids[tokens_in(first, size) : tokens_in(end, size)]),
            block_size=size,
            lora_id=lora.lora_int_id if lora else None,
            medium=MEDIUM_GPU,
            lora_name=lora.lora_name if lora else None,
            extra_keys=tuple(keys) or None,
            group_idx=self.group_id,
            kv_cache_spec_kind=self.spec.kind,
            kv_cache_spec_sliding_window=window_of(self.spec),
        )

    def _hash(self, request: Request, index: int) -> BlockHash | None:
        if (index + 1) * self._hashes_a_block > len(request.block_hashes):
            return None
        return content.coarse_hash(request.block_hashes, index, self._hashes_a_block)

    def _event_hash(self, request: Request, index: int) -> int:
        block_hash = self._hash(request, index)
        assert block_hash is not None  # noqa: S101 - the block is cached, so it has a hash
        return content.event_hash(block_hash)

    # Releasing

    def remove_skipped_blocks(self, request_id: RequestId, computed: Tokens) -> None:
        """Release what no later step reads, and leave nulls in its place [SKIP-1 to SKIP-4, MAMBA-2]."""
        table = self.tables.get(request_id)
        if table is None:
            return
        ids = table.ids()
        skip = eviction.skipped_entries(self.attention, ids, computed)
        if not (skip.window or skip.states):
            return
        window = [ids[index] for index in skip.window]
        for index in (*skip.window, *skip.states):
            table.blocks[index] = self._pool.null_block
        self._pool.release(eviction.split_by_content(window, self._pool.is_keyed))
        self._pool.release(eviction.Release((), tuple(ids[index] for index in skip.states)))

    def free(self, request_id: RequestId) -> None:
        """Release the whole table; nothing happens where there is none [FREE-1, FREE-2, FREE-4]."""
        table = self.tables.pop(request_id, None)
        if table is not None:
            release = eviction.release_on_free(self.attention, table.ids(), self._pool.is_keyed)
            self._pool.release(release)

    def common_prefix_blocks(self, request_id: RequestId) -> Blocks:
        """Leading blocks that every request with a table holds [COMMON-1, COMMON-2]."""
        table = self.tables.get(request_id)
        if table is None or not isinstance(self.attention, FullAttention):
            return Blocks(0)
        shared = [block.ref_cnt == len(self.tables) for block in table.blocks]
        return Blocks((shared + [False]).index(False))  # noqa: RUF005
