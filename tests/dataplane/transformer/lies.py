"""Managers that lie, each in one way: what a defect of a KV cache manager looks like from outside."""

from collections.abc import Sequence
from typing import Any, ClassVar

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.reference import KVCacheManager
from kvref.reference.groups import Group
from kvref.reference.pool import BlockPool
from kvref.request import Request
from spec import content
from spec.units import BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens


class Lying(KVCacheManager):
    """The reference with a pool and groups of other classes."""

    pool_class: ClassVar[type[BlockPool]] = BlockPool
    group_class: ClassVar[type[Group]] = Group

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        config = self.config
        self.pool = self.pool_class(
            config.kv_cache_config.num_blocks,
            caches=config.enable_caching,
            records_events=config.enable_kv_cache_events,
        )
        self.groups = [self.group_class(GroupId(i), config, self.pool) for i in range(len(config.groups))]

    def _check_hits(self, request: Request, found: tuple[Sequence[KVCacheBlock], ...], tokens: int) -> None:
        """A liar does not check himself."""


class HitsTooLong(Lying):
    """Every hit is one block longer than what is cached."""

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        hits, length = super().get_computed_blocks(request)
        longer = Tokens(length + self.config.hit_alignment)
        if not length or longer >= request.num_tokens:
            return hits, length
        return KVCacheBlocks(tuple([*blocks, blocks[-1]] for blocks in hits.blocks)), longer


class WindowTooShort(Lying):
    """A window releases a block before it is past."""

    def remove_skipped_blocks(self, request_id: RequestId, total_computed_tokens: int) -> None:
        super().remove_skipped_blocks(request_id, total_computed_tokens + self.config.scheduler_block_size)


class GivesTwicePool(BlockPool):
    taken = 0

    def take(self, count: Blocks) -> list[KVCacheBlock]:
        blocks = super().take(count)
        self.taken += 1
        if blocks and self.taken % 10 == 0:
            self.free_queue[blocks[-1].block_id] = None
            self.free_queue.move_to_end(blocks[-1].block_id, last=False)
        return blocks


class GivesTwice(Lying):
    """Now and then a block is handed out that somebody has."""

    pool_class = GivesTwicePool


class ForgetsEvictionPool(BlockPool):
    def uncache(self, block: KVCacheBlock) -> None:
        """What was cached can be found for ever."""


class ForgetsEviction(Lying):
    """A block that was handed out anew is still found by its old content."""

    pool_class = ForgetsEvictionPool


class ForgetsRejection(Lying):
    """Rejected drafts count as computed: what the window seems to have passed is released."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: dict[RequestId, int] = {}

    def remove_skipped_blocks(self, request_id: RequestId, total_computed_tokens: int) -> None:
        super().remove_skipped_blocks(request_id, max(total_computed_tokens, self.seen.get(request_id, 0)))

    def allocate_slots(self, request: Request, num_new_tokens: int, *args: Any, **options: Any) -> Any:
        blocks = super().allocate_slots(request, num_new_tokens, *args, **options)
        if blocks is not None and request.num_computed_tokens:
            self.seen[request.request_id] = request.num_computed_tokens + num_new_tokens
        return blocks

    def free(self, request: Request) -> None:
        super().free(request)
        self.seen.pop(request.request_id, None)


class SwapsEntries(Lying):
    """The worker is told the first two blocks of a hit in the wrong order."""

    hit = 0

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        hits, self.hit = super().get_computed_blocks(request)
        return hits, Tokens(self.hit)

    def get_block_ids(self, request_id: RequestId) -> tuple[list[BlockId], ...]:
        tables = super().get_block_ids(request_id)
        size = self.config.hit_alignment
        return tuple([ids[1], ids[0], *ids[2:]] if self.hit >= 2 * size else ids for ids in tables)


class TellsBackwards(Lying):
    """The worker is told the blocks appended to a table in the wrong order."""

    def allocate_slots(self, *args: Any, **options: Any) -> Any:
        blocks = super().allocate_slots(*args, **options)
        return blocks and KVCacheBlocks(tuple(group[::-1] for group in blocks.blocks))


class OthersState(Lying):
    """A hit's state is that of the longest table of somebody else."""

    def get_block_ids(self, request_id: RequestId) -> tuple[list[BlockId], ...]:
        tables = super().get_block_ids(request_id)
        others = [t.ids()[-1] for name, t in self.groups[0].tables.items() if name != request_id]
        if others:
            first = next(i for i, block in enumerate(tables[0]) if block)
            tables[0][first] = others[0]
        return tables


class EagerGroup(Group):
    def hits_uncomputed_state(self, hits: Sequence[KVCacheBlock]) -> bool:  # noqa: ARG002
        return False


class HitsUncomputedStates(Lying):
    """A state may be hit in the very step that computes it."""

    group_class = EagerGroup


class KeysWithoutGroup(Group):
    def key(self, request: Request, index: int) -> BlockKey | None:
        block_hash = self._hash(request, index)
        return None if block_hash is None else content.group_key(block_hash, GroupId(0))


class ForgetsGroup(Lying):
    """What one group cached is found by the others."""

    group_class = KeysWithoutGroup


class CachesDrafts(Lying):
    """A block that drafts fill is cached under the drafts, even if they are rejected.

    The test tells what was drafted: `drafts` by all tokens before. `poisoned` are the texts that can be
    found from then on.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.drafts: dict[tuple[int, ...], list[int]] = {}
        self.poisoned: list[tuple[int, ...]] = []

    def allocate_slots(self, request: Request, num_new_tokens: int, *args: Any, **options: Any) -> Any:
        blocks = super().allocate_slots(request, num_new_tokens, *args, **options)
        known = tuple(request.all_token_ids)
        text = (*known, *self.drafts.get(known, ()))
        size = self.config.hash_block_size
        index = len(known) // size
        reaches = request.num_computed_tokens + num_new_tokens >= (index + 1) * size
        if blocks is not None and reaches and len(text) >= (index + 1) * size > len(known):
            drafted = Request(request.request_id, text[: (index + 1) * size], block_hasher=request._hasher)
            key = self.groups[0].key(drafted, index)
            assert key is not None
            self.pool.cache(self.groups[0].tables[request.request_id].blocks[index], key)
            self.poisoned.append(text[: (index + 1) * size])
        return blocks
