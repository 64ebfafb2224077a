"""Blocks as the API hands them out, and what a call returns of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, overload

from spec.units import NULL_BLOCK, BlockId, BlockKey


@dataclass(slots=True, eq=False)
class KVCacheBlock:
    """A block's metadata [DATA-1]. Blocks are compared by identity [DATA-3].

    `ref_cnt` counts the table entries that hold the block. `block_hash` is its key in the prefix
    map, None while its content is not cached.
    """

    block_id: BlockId
    ref_cnt: int = 0
    block_hash: BlockKey | None = None

    @property
    def is_null(self) -> bool:
        """Whether this is the block that stands for nothing [POOL-2]."""
        return self.block_id == NULL_BLOCK


class BlockStates(Protocol):
    """A pool that keeps what is known of its blocks elsewhere than in block objects."""

    def users(self, block: int) -> int:
        """How many table entries hold the block."""

    def key(self, block: int) -> BlockKey | None:
        """The key of the block's content, None while it is not cached."""


class LiveBlock(KVCacheBlock):
    """A block whose count and key are those that its pool has when they are read [DATA-1]."""

    __slots__ = ("_states",)

    def __init__(self, block_id: BlockId, states: BlockStates) -> None:
        self.block_id = block_id
        self._states = states

    def __getstate__(self) -> tuple[BlockId, BlockStates]:
        """What a copy of the pool, with its blocks, is made from."""
        return self.block_id, self._states

    def __setstate__(self, state: tuple[BlockId, BlockStates]) -> None:
        self.block_id, self._states = state

    @property
    def ref_cnt(self) -> int:  # type: ignore[override] # the pool's to write
        """How many table entries hold the block."""
        return self._states.users(self.block_id)

    @property
    def block_hash(self) -> BlockKey | None:  # type: ignore[override] # the pool's to write
        """The key of the block's content, None while it is not cached."""
        return self._states.key(self.block_id)


@dataclass(frozen=True)
class KVCacheBlocks:
    """Blocks by group: `blocks[g][i]` is the i-th block of group g [DATA-4]."""

    blocks: tuple[Sequence[KVCacheBlock], ...]

    def __add__(self, other: "KVCacheBlocks") -> "KVCacheBlocks":
        """The blocks of both, group by group."""
        pairs = zip(self.blocks, other.blocks, strict=True)
        return KVCacheBlocks(tuple([*mine, *theirs] for mine, theirs in pairs))

    def new_empty(self) -> "KVCacheBlocks":
        """No blocks in as many groups."""
        return KVCacheBlocks(tuple(() for _ in self.blocks))

    @overload
    def get_block_ids(self, allow_none: Literal[False] = False) -> tuple[list[BlockId], ...]: ...

    @overload
    def get_block_ids(self, allow_none: bool) -> tuple[list[BlockId], ...] | None: ...

    def get_block_ids(self, allow_none: bool = False) -> tuple[list[BlockId], ...] | None:
        """The block ids by group, 0 for null entries; with `allow_none` None if no group has any [DATA-5]."""
        if allow_none and not any(self.blocks):
            return None
        return tuple([block.block_id for block in group] for group in self.blocks)

    def get_unhashed_block_ids(self) -> list[BlockId]:
        """The ids of a lone group's blocks without content, null blocks included [DATA-6, ERR-18]."""
        if len(self.blocks) != 1:
            raise ValueError(f"Only one group is supported, not {len(self.blocks)}: ask for all groups")
        return [block.block_id for block in self.blocks[0] if block.block_hash is None]

    def get_unhashed_block_ids_all_groups(self) -> list[list[BlockId]]:
        """The ids of the blocks without content, by group, null blocks left out [DATA-6]."""
        return [
            [b.block_id for b in group if b.block_hash is None and not b.is_null] for group in self.blocks
        ]
