"""The memory behind the block ids: contents by slot, in pages that all groups share."""

from collections.abc import Sequence
from typing import Final, final

import torch

from kvref.dataplane.content import FOREIGN, NOTHING


@final
class Memory:
    """`num_blocks` pages. A page holds `block_size` slots of one group, or one state of a recurrent one.

    Block ids are of one pool, and so are the pages: what a group writes replaces what another had there.
    """

    def __init__(self, num_blocks: int, block_sizes: Sequence[int]) -> None:
        self._sizes: Final = block_sizes
        self._pages: Final = torch.full((num_blocks, max(block_sizes, default=1)), NOTHING)
        self._group: Final = torch.full((num_blocks,), -1)

    def write(self, group: int, slots: Sequence[int], contents: Sequence[int]) -> None:
        """Write slot by slot; slot s is slot s % block_size of block s // block_size."""
        if not slots:
            return
        at = torch.tensor(slots)
        blocks = at // self._sizes[group]
        foreign = blocks[self._group[blocks] != group]
        if len(foreign):
            self._pages[foreign] = NOTHING
            self._group[foreign] = group
        self._pages[blocks, at % self._sizes[group]] = torch.tensor(contents)

    def lose(self, blocks: Sequence[int]) -> None:
        """What is in these blocks is lost."""
        if blocks:
            self._pages[torch.tensor(blocks)] = NOTHING

    def read(self, group: int, blocks: Sequence[int]) -> list[int]:
        """All slots of these blocks, one block behind the other."""
        at = torch.tensor(blocks)
        found = self._pages[at, : self._sizes[group]]
        owner = self._group[at]
        foreign = (owner != group) & (owner >= 0)
        if foreign.any():
            found[foreign] = FOREIGN
        slots: list[int] = found.view(-1).tolist()
        return slots
