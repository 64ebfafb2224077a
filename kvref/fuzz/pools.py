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
        # The null block, and now and then a second request: one block more or less decides what fits.
        blocks = 1 + held + choices.choice((-1, -1, 0, 0, 1)) + choices.choice((0, 0, 0, held))
    else:
        need = sum(-(-longest // group.block_size) for group in groups)
        blocks = int(need * choices.choice(weights.pools)) + choices.integer(2, weights.spare)
    return max(1, min(blocks, MAX_POOL))


def whole_blocks(group: Group, batched: int) -> int:
    """A budget of at least `batched` tokens, with which what the group reads and a step make whole blocks.

    Where they do not, rounding up hides it if somebody counts too few of them.
    """
    return batched + -((_read(group) or 0) + batched) % group.block_size


def _read(group: Group) -> int | None:
    """How many tokens before a step it reads at the most; None if that is all of them, or a state."""
    if isinstance(group, SlidingGroup | SlidingMLAGroup):
        return group.window - 1
    return group.chunk if isinstance(group, ChunkedGroup) else None


def _held(group: Group, longest: int, batched: int) -> int:
    """The most blocks that a request has at a time: those of what it reads and of a step [ADMIT-1]."""
    if isinstance(group, MambaGroup):
        return 2 + group.speculative_blocks
    read = _read(group)
    if read is None:
        return -(-longest // group.block_size)
    cut = not isinstance(group, ChunkedGroup) or group.chunk % group.block_size > 0
    return -(-min(longest, read + batched) // group.block_size) + cut
