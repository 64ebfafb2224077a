"""Attention sinks: blocks that are set aside for the pool's lifetime, and read by every token [SINK-1]."""

from collections.abc import Sequence
from typing import Final, final

from kvref.dataplane.content import SINK
from kvref.dataplane.memory import Memory
from spec.attention import Attention, SinkAttention


@final
class Sinks:
    """The first blocks of the pool, group after group, filled before anything else is."""

    def __init__(self, memory: Memory, num_blocks: int, attentions: Sequence[Attention]) -> None:
        self._memory: Final = memory
        self._blocks: Final[dict[int, range]] = {}
        first = 1
        for group, attention in enumerate(attentions):
            if isinstance(attention, SinkAttention) and attention.sink_tokens:
                size = int(attention.block_size)
                end = min(first + int(attention.reserved_blocks()), num_blocks)
                memory.write(group, range(first * size, end * size), [SINK] * ((end - first) * size))
                self._blocks[group] = range(first, end)
                first = end

    def __contains__(self, block: int) -> bool:
        """Whether the block is part of a sink."""
        return any(block in blocks for blocks in self._blocks.values())

    def lost(self, group: int) -> tuple[int, int] | None:
        """A block of the group's sink that holds something else by now, and what; None if there is none."""
        blocks = self._blocks.get(group, range(0))
        if not blocks:
            return None
        found = self._memory.read(group, blocks)
        size = len(found) // len(blocks)
        return next(((blocks[at // size], one) for at, one in enumerate(found) if one != SINK), None)
