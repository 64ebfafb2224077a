"""What calls return: block ids by group, and block objects for those who ask."""

from collections.abc import Sequence
from typing import Final, Literal, final, overload

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.request import Request
from kvref.units import BlockId

from .pool import BlockPool


@final
class BlockIds:
    """Blocks by group with the interface of `KVCacheBlocks` [DATA-4], kept as ids.

    Block objects are made where `blocks` is read, and show their pool's blocks as they are.
    What `get_computed_blocks` returns remembers the request and the number of `tokens`, and how many
    blocks had lost their content by then, so that `allocate_slots` knows a hit that is still good.
    """

    def __init__(
        self,
        pool: BlockPool,
        rows: list[list[int]],
        request: Request | None = None,
        tokens: int = 0,
    ) -> None:
        self._pool: Final = pool
        self.rows: Final = rows
        self._request: Final = request
        self._tokens: Final = tokens
        self._removals: Final = pool.removals

    def is_hit_of(self, request: Request, tokens: int, pool: BlockPool) -> bool:
        """Whether this is the request's lookup of so many tokens, and all of it is still there."""
        return (
            self._request is request
            and self._tokens == tokens
            and self._pool is pool
            and self._removals == pool.removals
        )

    @property
    def blocks(self) -> tuple[Sequence[KVCacheBlock], ...]:
        """`blocks[g][i]` is the i-th block of group g."""
        return tuple([[self._pool.block(block) for block in row] for row in self.rows])

    def __add__(self, other: "BlockIds | KVCacheBlocks") -> "BlockIds":
        """The blocks of both, group by group."""
        pairs = zip(self.rows, rows_of(other), strict=True)
        return BlockIds(self._pool, [mine + theirs for mine, theirs in pairs])

    def new_empty(self) -> "BlockIds":
        """No blocks in as many groups."""
        return BlockIds(self._pool, [[] for _ in self.rows])

    @overload
    def get_block_ids(self, allow_none: Literal[False] = False) -> tuple[list[BlockId], ...]: ...

    @overload
    def get_block_ids(self, allow_none: bool) -> tuple[list[BlockId], ...] | None: ...

    def get_block_ids(self, allow_none: bool = False) -> tuple[list[BlockId], ...] | None:
        """The block ids by group, 0 for null entries; with `allow_none` None if no group has any [DATA-5]."""
        if allow_none and not any(self.rows):
            return None
        return tuple([row[:] for row in self.rows])  # type: ignore[misc]

    def get_unhashed_block_ids(self) -> list[BlockId]:
        """The ids of a lone group's blocks without content, null blocks included [DATA-6, ERR-18]."""
        return KVCacheBlocks(self.blocks).get_unhashed_block_ids()

    def get_unhashed_block_ids_all_groups(self) -> list[list[BlockId]]:
        """The ids of the blocks without content, by group, null blocks left out [DATA-6]."""
        return KVCacheBlocks(self.blocks).get_unhashed_block_ids_all_groups()


def rows_of(blocks: BlockIds | KVCacheBlocks) -> list[list[int]]:
    """The ids by group, of a result of this manager or of one made by hand."""
    if isinstance(blocks, BlockIds):
        return blocks.rows
    return [[block.block_id for block in row] for row in blocks.blocks]
