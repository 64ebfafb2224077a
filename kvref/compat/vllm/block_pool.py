"""The block pool under vLLM's names: a manager's pool, or one by itself [POOL-1 to POOL-8]."""

from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from typing import Any, overload

import kvref.events
from kvref.compat.vllm import kv_events
from kvref.compat.vllm.backing import Pool, backing
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.free_queue import FreeKVCacheBlockQueue
from kvref.compat.vllm.kv_events import KVCacheEvent, meant, shown
from kvref.compat.vllm.prefix_map import BlockHashToBlockMap
from kvref.request import Request
from kvref.stats import MetricsCollector
from spec.content import group_key
from spec.units import BlockHash, Blocks, GroupId, Tokens

__all__ = ["BlockHashToBlockMap", "BlockPool"]


class BlockPool:
    """`num_gpu_blocks` blocks, of which block 0 is the null block."""

    def __init__(
        self,
        num_gpu_blocks: int,
        enable_caching: bool,
        hash_block_size: int,
        enable_kv_cache_events: bool = False,
        metrics_collector: MetricsCollector | None = None,
        *,
        pool: Pool | None = None,
    ) -> None:
        """`pool` is a manager's own; without one, a pool is made."""
        if num_gpu_blocks < 1:
            raise AssertionError(f"a pool of {num_gpu_blocks} blocks has no null block")
        self.num_gpu_blocks = num_gpu_blocks
        self.enable_caching = enable_caching
        self.hash_block_size = hash_block_size
        self.enable_kv_cache_events = enable_kv_cache_events
        self.metrics_collector = metrics_collector
        self.pool = pool or backing().pool(
            num_gpu_blocks,
            Tokens(hash_block_size),
            caches=enable_caching,
            records_events=enable_kv_cache_events,
            metrics=metrics_collector,
        )
        self._free_block_queue = FreeKVCacheBlockQueue(self.pool.blocks, self.pool.queue)

    @property
    def free_block_queue(self) -> FreeKVCacheBlockQueue:
        """The blocks without a user. Another queue cannot be put in its place."""
        return self._free_block_queue

    @property
    def cached_block_hash_to_block(self) -> BlockHashToBlockMap:
        """Where content is found. Another map cannot be put in its place."""
        return BlockHashToBlockMap(self.pool.prefix_map)

    @property
    def kv_event_queue(self) -> MutableSequence[KVCacheEvent]:
        """The events that nobody took so far."""
        return EventQueue(self.pool)

    @kv_event_queue.setter
    def kv_event_queue(self, events: MutableSequence[KVCacheEvent]) -> None:
        self.pool.events[:] = [meant(event) for event in events]

    @property
    def blocks(self) -> Sequence[KVCacheBlock]:
        """All blocks, by id."""
        return self.pool.blocks

    @property
    def null_block(self) -> KVCacheBlock:
        """The block that stands for nothing."""
        return self.pool.blocks[0]

    def get_num_free_blocks(self) -> int:
        """Blocks without a user."""
        return len(self.pool.queue)

    def get_usage(self) -> float:
        """The fraction of blocks that are held [USAGE-1]."""
        return self.pool.usage

    def get_cached_block(
        self, block_hash: BlockHash, kv_cache_group_ids: Iterable[int]
    ) -> list[KVCacheBlock] | None:
        """The oldest block of each group with this content; None if one has none [POOL-3]."""
        found = [self.pool.prefix_map.find(group_key(block_hash, GroupId(g))) for g in kv_cache_group_ids]
        return None if None in found else [block for block in found if block is not None]

    def cache_full_blocks(
        self,
        request: Request,
        blocks: Sequence[KVCacheBlock],
        num_cached_blocks: int,
        num_full_blocks: int,
        block_size: int,
        kv_cache_group_id: int,
        block_mask: Sequence[bool] | None = None,
    ) -> None:
        """Cache the blocks [num_cached_blocks, num_full_blocks) that the mask leaves [CACHE-1, CACHE-4].

        Raises AssertionError for too few hashes, and for a mask of another length [CACHE-2].
        """
        if num_cached_blocks >= num_full_blocks:
            return
        offered = list(blocks)
        new = offered[num_cached_blocks:num_full_blocks]
        mask = [True] * len(new) if block_mask is None else block_mask
        if len(request.block_hashes) < num_full_blocks or len(mask) != len(new):
            raise AssertionError(f"{num_full_blocks} blocks need as many hashes, and a mask for the new ones")
        for index, kept in enumerate(mask, num_cached_blocks):
            if not kept:
                offered[index] = self.null_block
        group_id = GroupId(kv_cache_group_id)
        self.pool.cache(request, offered, num_cached_blocks, num_full_blocks, Tokens(block_size), group_id)

    def get_new_blocks(self, num_blocks: int) -> list[KVCacheBlock]:
        """Take blocks [POOL-4]. Raises ValueError if there are fewer [ERR-2]."""
        if num_blocks > self.get_num_free_blocks():
            raise ValueError(f"Cannot get {num_blocks} free blocks from the pool")
        return self.pool.take(Blocks(num_blocks))

    def touch(self, blocks: Sequence[KVCacheBlock]) -> None:
        """One more user for each block [POOL-6]. RuntimeError for one that is neither held nor queued [ERR-4]."""
        self.pool.hold(blocks)

    def free_blocks(self, ordered_blocks: Iterable[KVCacheBlock], prepend: bool = False) -> None:
        """One user less for each block; the unused ones are queued in order [POOL-7]."""
        self.pool.release(list(ordered_blocks), front=prepend)

    def evict_blocks(self, block_ids: set[int]) -> None:
        """Forget the content of blocks [POOL-8]. Raises AssertionError for an unknown one [ERR-7]."""
        for block_id in block_ids:
            if block_id >= len(self.blocks):
                raise AssertionError(f"Invalid block_id {block_id}: the pool has {len(self.blocks)} blocks")
            self._maybe_evict_cached_block(self.blocks[block_id])

    def _maybe_evict_cached_block(self, block: KVCacheBlock) -> bool:
        """Forget a block's content; False if it had none [POOL-5]."""
        keyed = block.block_hash is not None
        self.pool.uncache(block)
        return keyed

    def reset_prefix_cache(self) -> bool:
        """Forget all content, if nothing is held [RESET-1]."""
        return self.pool.reset()

    def take_events(self) -> list[KVCacheEvent]:
        """The events so far, which tell neither kind nor window of a group [EVENT-6]."""
        taken = list(self.kv_event_queue)
        self.kv_event_queue.clear()
        return taken


class EventQueue(MutableSequence[KVCacheEvent]):
    """The events that nobody took so far, which tell neither kind nor window of a group [EVENT-6]."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @overload
    def __getitem__(self, index: int) -> KVCacheEvent: ...
    @overload
    def __getitem__(self, index: slice) -> "MutableSequence[KVCacheEvent]": ...

    def __getitem__(self, index: int | slice) -> "KVCacheEvent | MutableSequence[KVCacheEvent]":
        if isinstance(index, slice):
            return [_of_pool(event) for event in self._pool.events[index]]
        return _of_pool(self._pool.events[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._pool.events[index] = [*map(meant, value)] if isinstance(index, slice) else meant(value)

    def __delitem__(self, index: int | slice) -> None:
        del self._pool.events[index]

    def __len__(self) -> int:
        return len(self._pool.events)

    def __iter__(self) -> Iterator[KVCacheEvent]:
        return map(_of_pool, list(self._pool.events))

    def insert(self, index: int, value: KVCacheEvent) -> None:
        """Tell of something that the manager did not do."""
        self._pool.events.insert(index, meant(value))


def _of_pool(event: kvref.events.KVCacheEvent) -> KVCacheEvent:
    told = shown(event)
    if isinstance(told, kv_events.BlockStored):
        told.kv_cache_spec_kind = told.kv_cache_spec_sliding_window = None
    return told
