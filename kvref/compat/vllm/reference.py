"""The reference behind the views: its blocks carry vLLM's names, everything else is asked and told."""

from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from typing import Final, cast

import kvref.blocks
from kvref.compat.vllm import backing
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.building import built, full_attention_config, without_group_facts
from kvref.config import ManagerConfig
from kvref.events import KVCacheEvent
from kvref.kv_cache_spec import KVCacheSpec
from kvref.reference import KVCacheManager, groups, pool
from kvref.reference.groups import BlockTable
from kvref.request import Request
from kvref.stats import MetricsCollector
from spec import capacity, content, hits, retention
from spec.arithmetic import full_blocks
from spec.eviction import Release
from spec.units import NULL_BLOCK, BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens


class FreeQueue:
    """The pool's free queue, block by block; blocks that are not the pool's own are kept by id."""

    def __init__(self, own: pool.BlockPool) -> None:
        self._pool = own
        self._foreign: dict[BlockId, KVCacheBlock] = {}

    def __iter__(self) -> Iterator[KVCacheBlock]:
        return map(self._block, self._pool.free_queue)

    def __len__(self) -> int:
        return len(self._pool.free_queue)

    def __contains__(self, block: object) -> bool:
        return isinstance(block, KVCacheBlock) and block.block_id in self._pool.free_queue

    def take_first(self) -> KVCacheBlock:
        """Take the first block out."""
        return self._block(self._pool.free_queue.popitem(last=False)[0])

    def remove(self, block: KVCacheBlock) -> None:
        """Take a block out."""
        del self._pool.free_queue[block.block_id]

    def append(self, block: KVCacheBlock) -> None:
        """Put a block last."""
        if block.block_id >= len(self._pool.blocks) or self._pool.blocks[block.block_id] is not block:
            self._foreign[block.block_id] = block
        self._pool.free_queue[block.block_id] = None

    def prepend(self, block: KVCacheBlock) -> None:
        """Put a block first."""
        self.append(block)
        self._pool.free_queue.move_to_end(block.block_id, last=False)

    def _block(self, block_id: BlockId) -> KVCacheBlock:
        return self._foreign.get(block_id) or _own(self._pool.blocks)[block_id]


class PrefixMap:
    """The pool's prefix map."""

    def __init__(self, own: pool.BlockPool) -> None:
        self._pool = own

    def __iter__(self) -> Iterator[BlockKey]:
        return iter(self._pool.prefix_map)

    def __len__(self) -> int:
        return len(self._pool.prefix_map)

    def holders(self, key: BlockKey) -> Mapping[BlockId, KVCacheBlock]:
        """The blocks with this content."""
        return {block.block_id: block for block in _own(list(self._pool.prefix_map.get(key, {}).values()))}

    def find(self, key: BlockKey) -> KVCacheBlock | None:
        """The oldest of them."""
        found = self._pool.find(key)
        return None if found is None else _own([found])[0]

    def insert(self, key: BlockKey, block: KVCacheBlock) -> None:
        """Let the block be found under the key, whatever it says of itself."""
        self._pool.prefix_map.setdefault(key, {})[block.block_id] = block

    def remove(self, key: BlockKey, block_id: BlockId) -> KVCacheBlock | None:
        """Let the block be found under the key no more."""
        block = self.holders(key).get(block_id)
        if block is not None:
            del self._pool.prefix_map[key][block_id]
            if not self._pool.prefix_map[key]:
                del self._pool.prefix_map[key]
        return block


class Pool:
    """A reference pool whose blocks carry vLLM's names."""

    def __init__(self, own: pool.BlockPool, hash_block_size: Tokens, *, records_events: bool) -> None:
        own.blocks[:] = [
            KVCacheBlock(block.block_id, is_null=block.block_id == NULL_BLOCK) for block in own.blocks
        ]
        own.null_block = own.blocks[NULL_BLOCK]
        self.own: Final = own
        self.queue: backing.FreeQueue = FreeQueue(own)
        self.prefix_map: backing.PrefixMap = PrefixMap(own)
        self._hash_block_size = hash_block_size
        self._records_events = records_events

    @property
    def blocks(self) -> Sequence[KVCacheBlock]:
        """All blocks, by id."""
        return _own(self.own.blocks)

    @property
    def events(self) -> list[KVCacheEvent]:
        """The events that nobody took so far."""
        return self.own.events

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held."""
        return self.own.usage

    def take(self, count: Blocks) -> list[KVCacheBlock]:
        """Take blocks out of the queue."""
        return _own(self.own.take(count))

    def hold(self, blocks: Sequence[KVCacheBlock]) -> None:
        """One more user for each block."""
        try:
            self.own.hold(blocks)
        except KeyError as stranger:
            raise RuntimeError(f"block {stranger} is neither held nor queued") from None

    def release(self, blocks: Sequence[KVCacheBlock], *, front: bool) -> None:
        """One user less for each block."""
        ids = tuple(block.block_id for block in blocks if not block.is_null)
        self.own.release(Release(front=ids, back=()) if front else Release(front=(), back=ids))

    def uncache(self, block: KVCacheBlock) -> None:
        """Forget a block's content."""
        self.own.uncache(block)

    def reset(self) -> bool:
        """Forget all content, if nothing is held."""
        return self.own.reset()

    def cache(
        self,
        request: Request,
        blocks: Sequence[KVCacheBlock],
        first: int,
        end: int,
        block_size: Tokens,
        group_id: GroupId,
    ) -> None:
        """Cache the blocks [first, end): those of a full-attention group that has computed them.

        The event tells nothing of the group, which nobody named.
        """
        config = full_attention_config(
            group_id, block_size, self._hash_block_size, records_events=self._records_events
        )
        group = groups.Group(group_id, config, self.own)
        group.tables[request.request_id] = BlockTable(list(blocks), Blocks(first))
        told = len(self.events)
        group.cache_blocks(request, Tokens(end * block_size))
        self.events[told:] = [without_group_facts(event) for event in self.events[told:]]

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
        """The longest hit of a request with these hashes and one token more than `max_length`."""
        attention = groups.attention_of(spec, context_parallel_size)

        def find(index: int, group_id: GroupId) -> KVCacheBlock | None:
            if index >= len(hashes):
                return None
            return self.prefix_map.find(content.group_key(hashes[index], group_id))

        members = hits.SpecGroup(attention, eagle, lambda i: None not in [find(i, g) for g in group_ids])
        length = hits.longest_hit([members], Tokens(max_length + 1), alignment)
        read = attention.blocks_read(length)
        nulls = [self.blocks[NULL_BLOCK]] * read.start
        return tuple(nulls + [block for i in read if (block := find(i, g)) is not None] for g in group_ids)


class Group:
    """A group of the reference; one allocation's steps can be taken by themselves."""

    def __init__(self, own: groups.Group, over: pool.BlockPool) -> None:
        self._own = own
        self._pool = over

    @property
    def new_block_ids(self) -> list[BlockId]:
        """The blocks to zero."""
        return self._own.new_block_ids

    @new_block_ids.setter
    def new_block_ids(self, ids: list[BlockId]) -> None:
        self._own.new_block_ids = ids

    @property
    def eagle(self) -> bool:
        """Whether the group feeds EAGLE's draft head."""
        return self._own.eagle

    @eagle.setter
    def eagle(self, eagle: bool) -> None:
        self._own.eagle = eagle

    @property
    def step_keys(self) -> set[BlockKey]:
        """The states that were cached in this step."""
        return self._own.cached_this_step

    def forget_step_keys(self) -> None:
        """A step begins."""
        self._own.cached_this_step.clear()

    def requests(self) -> list[RequestId]:
        """Who has a table."""
        return list(self._own.tables)

    def table(self, request_id: RequestId) -> list[KVCacheBlock]:
        """The live table of a request."""
        return _own(self._own.tables[request_id].blocks)

    def set_table(self, request_id: RequestId, blocks: MutableSequence[KVCacheBlock]) -> None:
        """Let this very list be the request's table."""
        self._own.tables.setdefault(request_id, BlockTable()).blocks = blocks  # type: ignore[assignment]

    def drop_table(self, request_id: RequestId) -> None:
        """Forget the table."""
        del self._own.tables[request_id]

    def handled(self, request_id: RequestId) -> Blocks:
        """How many leading entries were offered to the prefix cache."""
        return self._own.tables[request_id].handled

    def set_handled(self, request_id: RequestId, blocks: Blocks) -> None:
        """Set that number."""
        self._own.tables.setdefault(request_id, BlockTable()).handled = blocks

    def need(
        self,
        request_id: RequestId,
        slots: Tokens,
        hits: Sequence[KVCacheBlock],
        computed: Tokens,
        main: Tokens,
    ) -> Blocks:
        """Free blocks that an allocation takes."""
        if self._own.hits_uncomputed_state(hits):
            return Blocks(len(self._pool.blocks) + 1)
        step = capacity.Step(computed, Tokens(0), main, slots, slots)
        return self._own.plan(request_id, hits, step).need

    def bind(
        self, request_id: RequestId, hits: Sequence[KVCacheBlock], local: Tokens, external: Tokens
    ) -> None:
        """Start a request's table."""
        computed = Tokens(local + external)
        plan = self._own.plan(request_id, hits, capacity.Step(local, external, computed, computed))
        self._own.adopt(request_id, hits, plan)
        self._require_free(plan.binding.external if plan.binding else Blocks(0))
        self._own.take_external(request_id, plan)

    def grow(self, request_id: RequestId, slots: Tokens, main: Tokens) -> list[KVCacheBlock]:
        """Append blocks for slots."""
        plan = self._own.plan(request_id, (), capacity.Step(Tokens(0), Tokens(0), main, slots, slots))
        self._require_free(plan.growth.taken)
        self._own.tables.setdefault(request_id, BlockTable())
        return _own(self._own.grow(request_id, plan))

    def _require_free(self, count: Blocks) -> None:
        if count > self._pool.num_free:
            raise ValueError(f"Cannot get {count} free blocks from the pool")

    def cache_blocks(self, request: Request, tokens: Tokens, interval: Tokens | None) -> None:
        """Cache all full blocks among the first tokens."""
        _CachesAsTold(self._own, interval).cache_blocks(request, tokens)

    def remove_skipped_blocks(self, request_id: RequestId, computed: Tokens) -> None:
        """Release what no later step reads."""
        self._own.remove_skipped_blocks(request_id, computed)

    def skipped_tokens(self, computed: Tokens) -> Tokens:
        """How many leading tokens no later step reads."""
        return self._own.attention.skipped_tokens(computed)

    def free(self, request_id: RequestId) -> None:
        """Release the whole table."""
        self._own.free(request_id)

    def common_prefix_blocks(self, request_id: RequestId) -> Blocks:
        """Leading blocks that every request holds."""
        return self._own.common_prefix_blocks(request_id)


class _CachesAsTold(groups.Group):
    """A group, for one call whose caller decides what a manager decides otherwise: how far, how densely."""

    def __init__(self, own: groups.Group, interval: Tokens | None) -> None:
        vars(self).update(vars(own))
        self._retention = retention.Retention(self._retention.alignment, interval)

    def cacheable_blocks(self, tokens: Tokens) -> Blocks:
        """All full blocks."""
        return full_blocks(tokens, self.attention.block_size)


class ReferenceBacking:
    """Builds reference managers, pools and groups."""

    def manager(
        self, config: ManagerConfig, metrics: MetricsCollector | None
    ) -> tuple[backing.Manager, backing.Pool, list[backing.Group]]:
        """A manager, its pool and its groups."""
        own = built(KVCacheManager, config, metrics)
        blocks = Pool(own.pool, Tokens(config.hash_block_size), records_events=config.enable_kv_cache_events)
        return own, blocks, [Group(group, own.pool) for group in own.groups]

    def pool(
        self,
        num_blocks: int,
        hash_block_size: Tokens,
        *,
        caches: bool,
        records_events: bool,
        metrics: MetricsCollector | None,
    ) -> backing.Pool:
        """A pool without a manager."""
        own = pool.BlockPool(num_blocks, caches=caches, records_events=records_events, metrics=metrics)
        return Pool(own, hash_block_size, records_events=records_events)

    def group(self, group_id: GroupId, config: ManagerConfig, over: backing.Pool) -> backing.Group:
        """A group without a manager."""
        assert isinstance(over, Pool)  # noqa: S101 - `pool` made it
        return Group(groups.Group(group_id, config, over.own), over.own)


def _own(blocks: list[kvref.blocks.KVCacheBlock]) -> list[KVCacheBlock]:
    """Blocks of a pool that `Pool` has made over."""
    return cast("list[KVCacheBlock]", blocks)


BACKING: backing.Backing = ReferenceBacking()
