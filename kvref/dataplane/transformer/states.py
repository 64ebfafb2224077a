"""Where a recurrent layer's states lie: Mamba's cache mode `align`, seen from the worker.

A table is [nulls and kept states | running state | speculative blocks] [MAMBA-6]. A step that ends
at token e, drafts included, runs in the entry of e's block; the state after its j-th draft lies j
entries behind it. Once it is known how many drafts stand, the next step starts from the state of the
last one that does, and a state at a block's end goes to that block's own entry, because that is
what will be found under the block's hash [PROTO-8]. A draft's boundary needs the entry to be held
still, so a step verifies fewer drafts than a block has tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class StateSlots:
    """One request's states in one group, `block_size` tokens a block.

    `source` is the block of the state after `computed` tokens, None before the first token;
    `written` are the blocks of the states that the step in progress leaves, by number of tokens.
    """

    block_size: int
    computed: int
    source: int | None
    written: dict[int, int] = field(default_factory=dict)

    @classmethod
    def starting(cls, block_size: int, table: Sequence[int], computed: int) -> "StateSlots":
        """At the start of a request's life: a hit of `computed` tokens ends in a kept state."""
        source = table[computed // block_size - 1] if computed else None
        return cls(block_size, computed, source)

    def begin(self, table: Sequence[int], new: int, drafts: int) -> None:
        """A step computes `new` tokens, the last `drafts` of which may be rejected."""
        end = self.computed + new
        running = -(-end // self.block_size) - 1
        self.written = {end - drafts + j: table[running + j] for j in range(drafts + 1)}

    def settle(self, table: Sequence[int], computed: int) -> list[tuple[int, int]]:
        """`computed` tokens stand: the copies (from block, to block) that put states in their places."""
        copies = [
            (block, table[end // self.block_size - 1])
            for end, block in self.written.items()
            if end <= computed and end % self.block_size == 0
        ]
        self.computed, self.source = computed, self.written[computed]
        return [(block, home) for block, home in copies if home not in (0, block)]
