"""The pool: which block is free, which is shared, and whose content is where."""

from collections.abc import Sequence
from typing import Final, final

from kvref.blocks import KVCacheBlock, LiveBlock
from kvref.events import MEDIUM_GPU, AllBlocksCleared, BlockRemoved, KVCacheEvent
from kvref.stats import MetricsCollector
from kvref.units import BlockHash, BlockId, BlockKey, GroupId

from .free_queue import SHARED, FreeQueue
from .prefix_map import PrefixMap

GROUP_BYTES: Final = 4
"""A key ends with the group's number in so many bytes [HASH-9]."""

NUMBER_BYTES: Final = 8
"""Events name a hash by its last so many bytes [HASH-11]."""


def hash_number(name: bytes) -> int:
    """The number by which events name a hash, or a coarse block by its last hash [HASH-11, Q-14]."""
    return int.from_bytes(name[-NUMBER_BYTES:], "big")


@final
class BlockPool:
    """Blocks 1 to `num_blocks` - 1, of which the first `reserved` are set aside for good [SINK-1].

    A block is queued, or held by one request's tables, or listed in `sharers` with the number of table
    entries that hold it: most blocks have one user, who need not be counted.
    """

    def __init__(
        self,
        num_blocks: int,
        reserved: int,
        maps: list[PrefixMap],
        metrics: MetricsCollector | None,
        records_events: bool,
    ) -> None:
        self.num_blocks: Final = num_blocks
        self.reserved: Final = reserved
        self.maps: Final = maps
        self.queue: Final = FreeQueue(num_blocks, 1 + reserved)
        self.sharers: Final[dict[int, int]] = {}
        self.sharing: Final[set[int]] = set()
        """The holders of blocks that others hold or held as well."""
        self.content: Final[list[bytes | None]] = [None] * num_blocks
        self.shown: Final[dict[int, KVCacheBlock]] = {}
        """The blocks that the API was asked to show: each is one object [DATA-3]."""
        self.group_of: Final[list[int]] = [0] * (num_blocks if len(maps) > 1 else 0)
        self._metrics: Final = metrics
        self._records_events: Final = records_events
        self.events: list[KVCacheEvent] = []
        self.was_evicted_by_hand = False
        """Whether a held block may have lost its content, which happens in no other way."""
        self.removals = 0
        """Counts how often a block lost its content: while it stands still, every hit stays good."""

    # Users

    def take(self, count: int, taker: int) -> list[int]:
        """Blocks from the front of the queue, without content, for one user each [POOL-4]."""
        blocks = self.queue.take(count, taker)
        if self._metrics is not None:
            for block in blocks:
                self._metrics.on_block_evicted(self.block(block))
                self.forget(block)
                self._metrics.on_block_allocated(self.block(block))
            return blocks
        self._forget_all(blocks)
        return blocks

    def hold(self, blocks: list[int], holder: int) -> None:
        """Give each of these hit blocks one user more [POOL-6]."""
        queue, sharers, sharing = self.queue, self.sharers, self.sharing
        owners, owner = queue.owners, queue.owner
        all_free = self._all_free(blocks)
        free = blocks if all_free else []
        for block in [] if all_free else blocks:
            one = owner[block]
            if one in owners:
                owner[block] = SHARED
                sharers[block] = 2
                sharing.add(one)
                sharing.add(holder)
            elif one != SHARED:
                free.append(block)
            elif block:
                sharers[block] += 1
                sharing.add(holder)
        queue.remove(free, holder)
        if self._metrics is not None:
            for block in blocks:
                if block:
                    self._metrics.on_block_accessed(self.block(block))

    def release(self, blocks: list[int], holder: int, *, to_front: bool = False) -> None:
        """Take one user from each block, and queue in this order those that have none left [POOL-7]."""
        if holder in self.sharing:
            blocks = self._without_users(blocks, SHARED)
        if to_front:
            self.queue.prepend(blocks)
        else:
            self.queue.append(blocks, SHARED)

    def release_last(self, blocks: list[int], holder: int) -> None:
        """The same, to the back, for a holder who gives up all its blocks."""
        if holder in self.sharing:
            blocks = self._without_users(blocks, holder)
        self.queue.append(blocks, holder)

    def forget_holder(self, holder: int) -> None:
        """The holder has released all its blocks."""
        self.queue.owners.discard(holder)
        self.sharing.discard(holder)

    def _without_users(self, blocks: list[int], heir: int) -> list[int]:
        """The blocks whose last user lets go; of the others one user less is counted [FREE-5]."""
        owner, sharers = self.queue.owner, self.sharers
        alone: list[int] = []
        for block in blocks:
            if owner[block] == SHARED:
                users = sharers[block] - 1
                if users:
                    sharers[block] = users
                    continue
                del sharers[block]
                owner[block] = heir
            alone.append(block)
        return alone

    def users(self, block: int) -> int:
        """How many table entries hold the block [INV-3]."""
        owner = self.queue.owner[block]
        if owner == SHARED:
            return self.sharers.get(block, 0)
        return 1 if owner in self.queue.owners else 0

    def num_queued(self, blocks: list[int]) -> int:
        """How many of these hit blocks are free, so that holding them takes them from the queue."""
        if self._all_free(blocks):
            return len(blocks)
        owner, owners = self.queue.owner, self.queue.owners
        count = 0
        for block in blocks:
            one = owner[block]
            if one != SHARED and one not in owners:
                count += 1
        return count

    def _all_free(self, blocks: list[int]) -> bool:
        """Whether none of these blocks has a user: the outermost tell as a rule, and few owners else."""
        queue = self.queue
        if not (blocks and queue.holds(blocks[0]) and queue.holds(blocks[-1])):
            return False
        found = set(map(queue.owner.__getitem__, blocks))
        return SHARED not in found and found.isdisjoint(queue.owners)

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

    def cache_one(self, group: int, block: int, name: bytes) -> int:
        """The same for one block with one hash, as a decoding request fills it."""
        one = self.maps[group]
        younger = 0
        if one.oldest.setdefault(name, block) != block:
            younger = one.add([name], [block])
        self.content[block] = name
        if self.group_of:
            self.group_of[block] = group
        return younger

    def has_content(self, group: int, blocks: list[int], contents: Sequence[bytes]) -> bool:
        """Whether these are blocks of the pool, cached in the group with these contents."""
        content, groups = self.content, self.group_of
        if not blocks or min(blocks) < 1 or max(blocks) >= self.num_blocks:
            return False
        if [content[block] for block in blocks] != contents:
            return False
        return not groups or [groups[block] for block in blocks].count(group) == len(blocks)

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
            if one.is_simple:
                del one.oldest[own]
            else:
                one.remove(own, block)
            if tells:
                self.events.append(BlockRemoved((hash_number(own),), MEDIUM_GPU, GroupId(group)))
        self.removals += removed

    def give_up_runs(self) -> None:
        """Look everything up one by one from now on: somebody changes by hand what runs rely on."""
        for one in self.maps:
            one.runs = None

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
