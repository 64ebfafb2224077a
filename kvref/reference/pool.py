"""The block pool: who holds which block, which blocks are free, which content can be found where.

State is three things: the blocks (each with its count of users and its key), the free queue, and
the prefix map from key to the blocks that hold that content, oldest first. Every block but the null
block is in the queue exactly if nobody uses it [INV-1, INV-3].
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from kvref.blocks import KVCacheBlock
from kvref.events import MEDIUM_GPU, AllBlocksCleared, BlockRemoved, KVCacheEvent
from kvref.stats import MetricsCollector
from spec import content
from spec.eviction import Release
from spec.units import NULL_BLOCK, BlockId, BlockKey, Blocks


class BlockPool:
    """A pool of `num_blocks` blocks, of which block 0 is the null block [POOL-1]."""

    def __init__(
        self,
        num_blocks: int,
        *,
        caches: bool,
        records_events: bool,
        metrics: MetricsCollector | None = None,
    ) -> None:
        self.blocks = [KVCacheBlock(BlockId(i)) for i in range(num_blocks)]
        self.null_block = self.blocks[NULL_BLOCK]
        self.free_queue: OrderedDict[BlockId, None] = OrderedDict.fromkeys(
            block.block_id for block in self.blocks[1:]
        )
        self.prefix_map: dict[BlockKey, dict[BlockId, KVCacheBlock]] = {}
        self.reserved: list[BlockId] = []
        self.events: list[KVCacheEvent] = []
        self._caches = caches
        self._records_events = records_events
        self._metrics = metrics

    @property
    def num_free(self) -> Blocks:
        """Blocks without a user, content or not [USAGE-1]."""
        return Blocks(len(self.free_queue))

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held: 0.0 to 1.0 [USAGE-1]."""
        usable = len(self.blocks) - 1
        return 1.0 - self.num_free / usable if usable else 0.0

    def reserve(self, count: Blocks) -> None:
        """Set `count` blocks aside for good [SINK-1]."""
        self.reserved += [self.free_queue.popitem(last=False)[0] for _ in range(count)]

    def find(self, key: BlockKey) -> KVCacheBlock | None:
        """The oldest block with this content, None if there is none [MAP-2, POOL-3]."""
        holders = self.prefix_map.get(key)
        return next(iter(holders.values())) if holders else None

    def is_keyed(self, block_id: BlockId) -> bool:
        """Whether the block's content can be found in the prefix map."""
        return self.blocks[block_id].block_hash is not None

    def take(self, count: Blocks) -> list[KVCacheBlock]:
        """The first `count` blocks of the free queue, which lose their content [POOL-4, QUEUE-3]."""
        taken = [self.blocks[self.free_queue.popitem(last=False)[0]] for _ in range(count)]
        for block in taken:
            if self._caches:
                self.uncache(block)
            block.ref_cnt = 1
            if self._metrics:
                self._metrics.on_block_allocated(block)
        return taken

    def hold(self, blocks: Iterable[KVCacheBlock]) -> None:
        """One more user for each of `blocks`; the free ones leave the queue [POOL-6]."""
        for block in blocks:
            if block.is_null:
                continue
            if block.ref_cnt == 0:
                del self.free_queue[block.block_id]
            block.ref_cnt += 1
            if self._metrics:
                self._metrics.on_block_accessed(block)

    def release(self, release: Release) -> None:
        """One user less for each released block; the unused ones are queued [POOL-7, QUEUE-5]."""
        for block_id in (*release.back, *release.front):
            self.blocks[block_id].ref_cnt -= 1
        for block_id in self._unused(release.back):
            self.free_queue[block_id] = None
        for block_id in reversed(self._unused(release.front)):
            self.free_queue[block_id] = None
            self.free_queue.move_to_end(block_id, last=False)

    def _unused(self, block_ids: Sequence[BlockId]) -> list[BlockId]:
        return [block_id for block_id in block_ids if self.blocks[block_id].ref_cnt == 0]

    def cache(self, block: KVCacheBlock, key: BlockKey) -> None:
        """Let the block's content be found under `key`, behind older duplicates [MAP-1, MAP-3]."""
        block.block_hash = key
        self.prefix_map.setdefault(key, {})[block.block_id] = block

    def uncache(self, block: KVCacheBlock) -> None:
        """Forget the block's content, if it has any [POOL-5, MAP-4, EVENT-4]."""
        if self._metrics:
            self._metrics.on_block_evicted(block)
        key = block.block_hash
        if key is None:
            return
        block.block_hash = None
        del self.prefix_map[key][block.block_id]
        if not self.prefix_map[key]:
            del self.prefix_map[key]
        if self._records_events:
            number = content.event_hash(content.hash_of(key))
            self.events.append(BlockRemoved((number,), MEDIUM_GPU, content.group_of(key)))

    def reset(self) -> bool:
        """Forget all content, if nothing but the null block is held [RESET-1, EVENT-5]."""
        if self.num_free != len(self.blocks) - 1:
            return False
        for holders in self.prefix_map.values():
            for block in holders.values():
                block.block_hash = None
        self.prefix_map = {}
        if self._metrics:
            self._metrics.reset()
        if self._records_events:
            self.events.append(AllBlocksCleared())
        return True
