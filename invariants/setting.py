"""The static facts of a configuration that invariants need."""

from dataclasses import dataclass
from functools import cached_property

from spec.attention import Attention, SinkAttention
from spec.units import Blocks, Tokens


@dataclass(frozen=True, slots=True)
class GroupSetting:
    """One KV cache group. Groups with an equal spec have the same number `spec` [HIT-2].

    `attention.block_size` is what one table entry covers [DCP-1]. `eagle` is the bit of the spec
    group: set if any group with an equal spec feeds EAGLE's draft head [CFG-6].
    """

    attention: Attention
    eagle: bool = False
    spec: int = 0


@dataclass(frozen=True)
class Setting:
    """What does not change in a manager's life. Sizes and lengths are in tokens.

    Every hit length is a multiple of `hit_alignment` [HIT-1, HIT-4]. Contents are told apart in
    pieces of `hash_block_size` tokens, of which a cached block holds a whole number [HASH-8].
    """

    groups: tuple[GroupSetting, ...]
    num_blocks: Blocks
    max_model_len: Tokens
    hash_block_size: Tokens
    hit_alignment: Tokens
    caching: bool = True
    events: bool = True

    @property
    def usable_blocks(self) -> Blocks:
        """All blocks but the null block [POOL-1].

        pre: self.num_blocks > 0
        post: __return__ >= 0
        """
        return Blocks(self.num_blocks - 1)

    @cached_property
    def reserved_blocks(self) -> Blocks:
        """How many blocks sink groups set aside for good [SINK-1]."""
        sinks = [g.attention for g in self.groups if isinstance(g.attention, SinkAttention)]
        return Blocks(sum(sink.reserved_blocks() for sink in sinks))
