"""How many blocks a random pool has: by what the longest request needs, or by what it can hold at a time."""

from collections.abc import Sequence

from kvref.fuzz.choices import Choices
from kvref.fuzz.weights import Weights
from kvref.operations import ChunkedGroup, Group, MambaGroup, SlidingGroup, SlidingMLAGroup

MAX_POOL = 256


def draw_pool(choices: Choices, groups: Sequence[Group], longest: int, batched: int, weights: Weights) -> int:
    """A pool for requests of `longest` tokens at the most, served in steps of at most `batched`."""
    if choices.chance(weights.capped_pool):
        held = sum(_held(group, longest, batched) for group in groups)
        blocks = held + choices.integer(1, 3) + choices.choice((0, 0, held))
    else:
        need = sum(-(-longest // group.block_size) for group in groups)
        blocks = int(need * choices.choice(weights.pools)) + choices.integer(2, weights.spare)
    return min(blocks, MAX_POOL)


def _held(group: Group, longest: int, batched: int) -> int:
    """The blocks that a request has at a time: about those of what it reads and of a step [ADMIT-1]."""
    tokens = longest
    if isinstance(group, SlidingGroup | SlidingMLAGroup):
        tokens = min(longest, group.window - 1 + batched)
    elif isinstance(group, ChunkedGroup):
        tokens = min(longest, group.chunk + batched)
    elif isinstance(group, MambaGroup):
        return 2 + group.speculative_blocks
    return -(-tokens // group.block_size)
