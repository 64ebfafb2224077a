"""The pool: which block is free, which is shared, and whose content is where."""

from typing import Final, final

from kvref.blocks import KVCacheBlock, LiveBlock
from kvref.events import MEDIUM_GPU, AllBlocksCleared, BlockRemoved, KVCacheEvent
from kvref.stats import MetricsCollector
from kvref.units import BlockHash, BlockId, BlockKey, GroupId

from .free_queue import FreeQueue, Stretch
from .prefix_map import PrefixMap
from .stretches import Stretches

GROUP_BYTES: Final = 4
"""A key ends with the group's number in so many bytes [HASH-9]."""

NUMBER_BYTES: Final = 8
"""Events name a hash by its last so many bytes [HASH-11]."""


def hash_number(name: bytes) -> int:
    """The number by which events name a hash, or a coarse block by its last hash [HASH-11, Q-14]."""
    return int.from_bytes(name[-NUMBER_BYTES:], "big")


@final
class BlockPool:
    """Blocks 1 to `num_blocks` - 1, of which the first `reserved` are set aside for good [SINK-1]."""

    def __init__(
        self,
        num_blocks: int,
        reserved: int,
        maps: list[PrefixMap],
        metrics: MetricsCollector | None,
        caches: bool,
        records_events: bool,
    ) -> None:
        self.num_blocks: Final = num_blocks
        self.reserved: Final = reserved
        self.maps: Final = maps
        self.stretches: Final = Stretches(num_blocks, 1 + reserved)
        self.queue: Final[FreeQueue] = self.stretches.queue
        self.content: Final[list[bytes | None]] = [None] * num_blocks
        self.shown: Final[dict[int, KVCacheBlock]] = {}
        """The blocks that the API was asked to show: each is one object [DATA-3]."""
        self.group_of: Final[list[int]] = [0] * (num_blocks if len(maps) > 1 else 0)
        self._metrics: Final = metrics
        self._caches: Final = caches
        self._records_events: Final = records_events
        self.events: list[KVCacheEvent] = []
        self.was_evicted_by_hand = False
        """Whether a held block may have lost its content, which happens in no other way."""
        self.removals = 0
        """Counts how often a block lost its content: while it stands still, every hit stays good."""

    # Users

    def take(self, count: int, row: list[int], *, apart: bool = False) -> list[int]:
        """Let a table's row grow by blocks from the front of the queue, without content [POOL-4]."""
        if self._metrics is not None:
            return [self._take_told(self._metrics, row, apart=apart) for _ in range(count)]
        blocks = self.stretches.take(count, row, apart=apart)
        self._forget_all(blocks)
        return blocks

    def _take_told(self, metrics: MetricsCollector, row: list[int], *, apart: bool) -> int:
        """Take the first free block: nobody uses it yet when its eviction is told [METRIC-1]."""
        block = self.queue.first()
        if self._caches:
            metrics.on_block_evicted(self.block(block))
            self.forget(block)
        self.stretches.take(1, row, apart=apart)
        metrics.on_block_allocated(self.block(block))
        return block

    def hold(self, hits: list[Stretch]) -> None:
        """Give each of these hit blocks one user more [POOL-6]."""
        if self._metrics is None:
            self.stretches.hold(hits)
            return
        blocks = [block for stretch in hits for block in stretch.blocks]
        self.stretches.hold(hits)
        for block in blocks:
            self._metrics.on_block_accessed(self.block(block))

    def users(self, block: int) -> int:
        """How many table entries hold the block [INV-3]."""
        return self.stretches.of[block].users

    @property
    def usage(self) -> float:
        """The share of blocks that are not free [USAGE-1]."""
        usable = self.num_blocks - 1
        return 1.0 - self.queue.count / usable if usable else 0.0

    # Content

    def cache(self, group: int, blocks: list[int], names: list[bytes], contents: list[bytes]) -> int:
        """Let the blocks be found by their content from now on [CACHE-4].

        How many they are up to the last that another holds the content of: 0 if none does.
        """
        younger = self.maps[group].add(names, blocks)
        content = self.content
        for block, own in zip(blocks, contents, strict=True):
            content[block] = own
        groups = self.group_of
        if groups:
            for block in blocks:
                groups[block] = group
        return younger

    def cache_one(self, group: int, block: int, names: list[bytes], index: int) -> None:
        """The same for table entry `index` of a request, its runs included, as decoding fills it."""
        one, name = self.maps[group], names[index]
        if one.oldest.setdefault(name, block) != block:
            one.add([name], [block])
        elif one.runs is not None:
            one.runs.append(index, block, names[index - 1] if index else None)
        self.content[block] = name
        if self.group_of:
            self.group_of[block] = group

    def forget(self, block: int) -> None:
        """Take the block's content from the prefix map, if it has any [POOL-5]."""
        self._forget_all([block])

    def _forget_all(self, blocks: list[int]) -> None:
        content, groups, maps, tells = self.content, self.group_of, self.maps, self._records_events
        removed = 0
        for block in blocks:
            own = content[block]
            if own is None:
                continue
            content[block] = None
            removed += 1
            group = groups[block] if groups else 0
            one = maps[group]
            if one.runs is not None:
                one.runs.cut(block)
            if one.hashes_per_block == 1 and own not in one.younger:
                del one.oldest[own]
            else:
                one.remove(own, block)
            if tells:
                self.events.append(BlockRemoved((hash_number(own),), MEDIUM_GPU, GroupId(group)))
        self.removals += removed

    def give_up_runs(self) -> None:
        """Look everything up one by one from now on: somebody changes by hand what runs rely on."""
        for prefix_map in self.maps:
            prefix_map.runs = None

    def evict(self, block: int) -> None:
        """Forget the block's content by hand [POOL-8]."""
        self.was_evicted_by_hand = True
        if self._metrics is not None:
            self._metrics.on_block_evicted(self.block(block))
        self.forget(block)

    def reset(self) -> bool:
        """Forget all content; False, and nothing done, while any block is held [RESET-1]."""
        if self.queue.count != self.num_blocks - 1:
            return False
        for one in self.maps:
            one.clear()
        # In place: the array may be large, and callers keep it.
        self.content[:] = [None] * self.num_blocks
        self.removals += 1
        if self._metrics is not None:
            self._metrics.reset()
        if self._records_events:
            self.events.append(AllBlocksCleared())
        return True

    # Pictures

    def group(self, block: int) -> int:
        """The group in which a cached block can be found."""
        return self.group_of[block] if self.group_of else 0

    def key(self, block: int) -> BlockKey | None:
        """The block's key: its content's hashes and its group's number [HASH-9]."""
        content = self.content[block]
        if content is None:
            return None
        return group_key(content, self.group(block))

    def block(self, block: int) -> KVCacheBlock:
        """The block as the API shows it [DATA-1]."""
        shown = self.shown.get(block)
        if shown is None:
            shown = self.shown[block] = LiveBlock(BlockId(block), self)
        return shown


def group_key(content: bytes, group: int) -> BlockKey:
    """Content made specific to a group [HASH-9]."""
    return BlockKey(BlockHash(content) + group.to_bytes(GROUP_BYTES, "big"))
