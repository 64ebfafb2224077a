"""The optimized manager's pool behind the views: numbers on its side, blocks with vLLM's names on the other.

A pool's block has its id for a number. A block that was made by hand gets a row of its own behind the
pool's in the manager's arrays, as one that others hold for ever, so that it never joins the queue.
What is moved by hand is moved block by block: each is cut out of its stretch.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from kvref.compat.vllm import backing
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.building import full_attention_config, lone_group_config, without_group_facts
from kvref.events import KVCacheEvent
from kvref.kv_cache_spec import KVCacheSpec
from kvref.optimized import groups as kinds
from kvref.optimized import pool as pools
from kvref.optimized.caching import cache_full_blocks
from kvref.optimized.free_queue import Stretch
from kvref.optimized.lookup import SpecGroup
from kvref.optimized.prefix_map import PrefixMap as GroupMap
from kvref.optimized.tables import Tables
from kvref.request import Request
from kvref.stats import MetricsCollector
from spec.content import group_key, group_of, hash_of
from spec.units import NULL_BLOCK, BlockHash, BlockId, BlockKey, Blocks, GroupId, Tokens

FOR_EVER: Final = 1 << 60
"""The users of a block that was made by hand."""

MOST_GROUPS: Final = 1 << 16
"""Keys of a map that stands alone need not end with the number of a group: beyond this, none does."""


class PoolBlock(KVCacheBlock):
    """A pool's own block: its count and its key are those in the manager's arrays."""

    __slots__ = ("_numbers", "_own")

    def __init__(self, numbers: "Numbers", block_id: int) -> None:
        self._numbers = numbers
        self._own = numbers.own
        self.block_id = BlockId(block_id)
        self.is_null = block_id == NULL_BLOCK
        self.queue = None

    @property
    def ref_cnt(self) -> int:
        """How many table entries hold the block; by hand one can say that more or fewer do."""
        return self._own.users(self.block_id)

    @ref_cnt.setter
    def ref_cnt(self, count: int) -> None:
        if not self._numbers.is_queued(self.block_id):
            self._own.stretches.alone(self.block_id).users = count

    @property
    def _block_hash(self) -> BlockKey | None:
        return self._own.key(self.block_id)

    @_block_hash.setter
    def _block_hash(self, key: BlockKey | None) -> None:
        self._own.give_up_runs()
        self._own.content[self.block_id] = None if key is None else hash_of(key)
        if key is not None:
            map_of(self._own, group_of(key))
            if self._own.group_of:
                self._own.group_of[self.block_id] = group_of(key)


def map_of(own: pools.BlockPool, group: int) -> GroupMap:
    """The group's prefix map; a pool that stands alone gets one for every group that is named."""
    while len(own.maps) <= group:
        own.maps.append(GroupMap(1))
    if group and not own.group_of:
        own.group_of.extend([0] * len(own.content))
    return own.maps[group]


class Numbers:
    """Blocks as numbers and back."""

    def __init__(self, own: pools.BlockPool) -> None:
        self.own: Final = own
        own.shown.update({number: PoolBlock(self, number) for number in range(own.num_blocks)})
        self._foreign: dict[int, KVCacheBlock] = {}

    def block(self, number: int) -> KVCacheBlock:
        """The block with this number."""
        block = self._foreign.get(number) or self.own.shown[number]
        assert isinstance(block, KVCacheBlock)  # noqa: S101 - all of them were made here
        return block

    def number(self, block: KVCacheBlock) -> int:
        """The block's number; one that was made by hand gets one."""
        if self.own.shown.get(block.block_id) is block:
            return block.block_id
        for number, foreign in self._foreign.items():
            if foreign is block:
                return number
        self.own.give_up_runs()
        number = len(self.own.content)
        self._foreign[number] = block
        self.own.content.append(block.block_hash and hash_of(block.block_hash))
        self.own.stretches.of.append(Stretch([number], FOR_EVER))
        if self.own.group_of:
            self.own.group_of.append(0)
        return number

    def is_queued(self, number: int) -> bool:
        """Whether the block is in the free queue."""
        return self.own.stretches.of[number].after is not None

    def is_foreign(self, number: int) -> bool:
        """Whether the block was made by hand."""
        return number in self._foreign


class FreeQueue:
    """The pool's free queue, block by block."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._own = numbers.own.queue
        self._stretches = numbers.own.stretches

    def __iter__(self) -> Iterator[KVCacheBlock]:
        return map(self._numbers.block, self._own.ids())

    def __len__(self) -> int:
        return self._own.count

    def __contains__(self, block: object) -> bool:
        return isinstance(block, KVCacheBlock) and self._numbers.is_queued(self._numbers.number(block))

    def take_first(self) -> KVCacheBlock:
        """Take the first block out."""
        number = self._stretches.take(1, [], apart=True)[0]
        self._stretches.of[number].users = 0
        return self._numbers.block(number)

    def remove(self, block: KVCacheBlock) -> None:
        """Take a block out."""
        self._own.remove(self._alone(block))

    def append(self, block: KVCacheBlock) -> None:
        """Put a block last."""
        self._own.append(self._alone(block))

    def prepend(self, block: KVCacheBlock) -> None:
        """Put a block first."""
        self._own.prepend(self._alone(block))

    def _alone(self, block: KVCacheBlock) -> Stretch:
        stretch = self._stretches.alone(self._numbers.number(block))
        stretch.users = 0
        return stretch


class PrefixMap:
    """The pool's prefix maps, one a group, as one map by key."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._alone: dict[int, GroupMap] = {}

    def __iter__(self) -> Iterator[BlockKey]:
        for group, one in self._maps():
            for name, number in one.oldest.items():
                content = self._numbers.own.content[number] if one.hashes_per_block > 1 else name
                yield BlockKey(group_key(BlockHash(content or name), GroupId(group)))

    def __len__(self) -> int:
        return sum(len(one.oldest) for _, one in self._maps())

    def holders(self, key: BlockKey) -> Mapping[BlockId, KVCacheBlock]:
        """The blocks with this content."""
        return {block.block_id: block for block in map(self._numbers.block, self._held(key))}

    def find(self, key: BlockKey) -> KVCacheBlock | None:
        """The oldest of them."""
        return next(iter(self.holders(key).values()), None)

    def insert(self, key: BlockKey, block: KVCacheBlock) -> None:
        """Let the block be found under the key, whatever it says of itself."""
        number = self._numbers.number(block)
        if number not in self._held(key):
            one = self._map(group_of(key))
            self._numbers.own.give_up_runs()
            one.add([one.name(hash_of(key))], [number])

    def remove(self, key: BlockKey, block_id: BlockId) -> KVCacheBlock | None:
        """Let the block be found under the key no more."""
        for number in self._held(key):
            block = self._numbers.block(number)
            if block.block_id == block_id:
                self._numbers.own.give_up_runs()
                self._map(group_of(key)).remove(hash_of(key), number)
                self._numbers.own.removals += 1
                return block
        return None

    def _held(self, key: BlockKey) -> list[int]:
        one = self._map(group_of(key))
        name = one.name(hash_of(key))
        return one.holders(name) if name in one.oldest else []

    def _map(self, group: int) -> GroupMap:
        if group < MOST_GROUPS:
            return map_of(self._numbers.own, group)
        return self._alone.setdefault(group, GroupMap(1))

    def _maps(self) -> Iterable[tuple[int, GroupMap]]:
        return [*enumerate(self._numbers.own.maps), *self._alone.items()]


class Pool:
    """A pool of the optimized manager, which forgets the content of what is taken if it caches [POOL-4]."""

    def __init__(
        self,
        own: pools.BlockPool,
        hash_block_size: Tokens,
        *,
        caches: bool,
        records_events: bool,
        metrics: MetricsCollector | None,
    ) -> None:
        self.own: Final = own
        self.numbers: Final = Numbers(own)
        self.queue: backing.FreeQueue = FreeQueue(self.numbers)
        self.prefix_map: backing.PrefixMap = PrefixMap(self.numbers)
        self._hash_block_size = hash_block_size
        self._caches = caches
        self._metrics = metrics
        self._records_events = records_events

    @property
    def blocks(self) -> Sequence[KVCacheBlock]:
        """All blocks, by id."""
        return [self.numbers.block(number) for number in range(self.own.num_blocks)]

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
        taken = self.own.take(count, [], apart=True) if self._caches else self._take_with_content(count)
        return [self.numbers.block(number) for number in taken]

    def _take_with_content(self, count: int) -> list[int]:
        taken = self.own.stretches.take(count, [], apart=True)
        if self._metrics is not None:
            for number in taken:
                self._metrics.on_block_allocated(self.numbers.block(number))
        return taken

    def hold(self, blocks: Sequence[KVCacheBlock]) -> None:
        """One more user for each block."""
        for block in blocks:
            if not block.is_null and block.ref_cnt == 0 and block not in self.queue:
                raise RuntimeError(f"block {block.block_id} is neither held nor queued")
            self.own.hold(self.own.stretches.hits([self.numbers.number(block)]))

    def release(self, blocks: Sequence[KVCacheBlock], *, front: bool) -> None:
        """One user less for each block."""
        held = [self.numbers.number(block) for block in blocks if not block.is_null]
        for number in reversed(held) if front else held:
            stretch = self.own.stretches.alone(number)
            # By hand one can let go of what nobody holds.
            stretch.users = max(stretch.users, 1)
            self.own.stretches.release([number], 0, 1, to_front=front)

    def uncache(self, block: KVCacheBlock) -> None:
        """Forget a block's content."""
        number = self.numbers.number(block)
        self.own.evict(number)
        if self.numbers.is_foreign(number):
            block.reset_hash()

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
        group = kinds.group_of(group_id, config)
        if map_of(self.own, group_id).hashes_per_block != group.hashes_per_block:
            self.own.maps[group_id] = GroupMap(group.hashes_per_block)
        tables = Tables(group_id + 1)
        tables.rows[group_id] = [0] * first + [self.numbers.number(block) for block in blocks[first:end]]
        tables.handled[group_id] = first
        known = [index for index in range(first, end) if self._is_cached(tables.rows[group_id][index])]
        stop = min([*known, end])
        told, tells = len(self.events), self._records_events and not known
        self.own.give_up_runs()
        cache_full_blocks(self.own, group, request, tables, stop * block_size, tells=tells)
        self.events[told:] = [without_group_facts(event) for event in self.events[told:]]
        for number in tables.rows[group_id]:
            if self.numbers.is_foreign(number) and (key := self.own.key(number)) is not None:
                self.numbers.block(number).reset_hash()
                self.numbers.block(number).block_hash = key
        if known:
            raise AssertionError(f"block {blocks[stop].block_id} already has a hash")

    def _is_cached(self, number: int) -> bool:
        return bool(number) and self.own.key(number) is not None

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
        """The longest hit of at most `max_length` tokens."""
        kind = kinds.group_of(0, lone_group_config(spec, alignment, context_parallel_size, eagle=eagle))
        maps = [map_of(self.own, group_id) for group_id in group_ids]
        search = SpecGroup(kind, maps, alignment)
        names = [maps[0].name(block_hash) for block_hash in hashes]
        length = search.longest(names, max_length // alignment * alignment, max_length)
        rows = [search.row(member, length) if length else [] for member in range(len(maps))]
        return tuple([self.numbers.block(number) for number in row] for row in rows)
