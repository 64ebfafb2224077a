"""A block, under the names that vLLM gives to its parts [DATA-1 to DATA-3]."""

from typing import TYPE_CHECKING

import kvref.blocks
from spec.units import BlockId, BlockKey

if TYPE_CHECKING:
    from kvref.compat.vllm.free_queue import FreeKVCacheBlockQueue


class KVCacheBlock(kvref.blocks.KVCacheBlock):
    """A manager's own block, or one made by hand; its neighbours are those in the free queue.

    Blocks are compared by identity, where the peer's are compared field by field [DATA-3].
    """

    __slots__ = ("_block_hash", "is_null", "queue")

    is_null: bool

    def __init__(
        self, block_id: int, ref_cnt: int = 0, _block_hash: BlockKey | None = None, *, is_null: bool = False
    ) -> None:
        self._block_hash: BlockKey | None = None
        self.is_null = is_null
        self.queue: FreeKVCacheBlockQueue | None = None
        super().__init__(BlockId(block_id), ref_cnt, _block_hash)

    @property
    def block_hash(self) -> BlockKey | None:
        """The key of the block's content, None while it is not cached. A second one is an error [ERR-5]."""
        return self._block_hash

    @block_hash.setter
    def block_hash(self, key: BlockKey | None) -> None:
        if key is not None and self._block_hash is not None:
            raise AssertionError(f"block {self.block_id} already has a hash")
        self._block_hash = key

    def reset_hash(self) -> None:
        """Forget the key [DATA-2]."""
        self._block_hash = None

    @property
    def next_free_block(self) -> "KVCacheBlock | None":
        """The block behind this one in the free queue, None outside of it."""
        return self.queue.neighbour(self, 1) if self.queue else None

    @next_free_block.setter
    def next_free_block(self, block: "KVCacheBlock | None") -> None:
        if self.queue and block is not self.next_free_block:
            self.queue.damaged = True

    @property
    def prev_free_block(self) -> "KVCacheBlock | None":
        """The block before this one in the free queue, None outside of it."""
        return self.queue.neighbour(self, -1) if self.queue else None

    @prev_free_block.setter
    def prev_free_block(self, block: "KVCacheBlock | None") -> None:
        if self.queue and block is not self.prev_free_block:
            self.queue.damaged = True

    def __repr__(self) -> str:
        previous, following = (
            None if block is None else block.block_id
            for block in (self.prev_free_block, self.next_free_block)
        )
        return (
            f"KVCacheBlock(block_id={self.block_id}, ref_cnt={self.ref_cnt}, _block_hash={self._block_hash!r}, "
            f"prev_free_block={previous}, next_free_block={following})"
        )
