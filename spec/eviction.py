"""In which order released blocks are taken again.

The free queue is taken from its front. A block that carries content goes to the back, so that it
stays hittable for as long as possible; a scratch block, which carries none, may go to the front.
Blocks of a table are released from its end, so that a chain loses its tail before its root
[FREE-1, SKIP-3].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spec.attention import AlignedMambaState, Attention, MambaState, SlidingWindowAttention
from spec.units import NULL_BLOCK, BlockId, Blocks, Tokens


@dataclass(frozen=True)
class Release:
    """Table entries that are released: `front` is queued before all free blocks, `back` after them.

    Both are in the order that they have in the queue. A block that is still used elsewhere only
    loses one use and is not queued [FREE-5].
    """

    front: tuple[BlockId, ...]
    back: tuple[BlockId, ...]


def queue_after(queue: Sequence[BlockId], release: Release, unused: set[BlockId]) -> list[BlockId]:
    """The free queue after `release`, of which the `unused` blocks have no user left [POOL-7].

    pre: all(block not in queue for block in unused)
    post: len(__return__) <= len(queue) + len(release.front) + len(release.back)
    post: all(block in __return__ for block in queue)
    """
    front = [block for block in release.front if block in unused]
    back = [block for block in release.back if block in unused]
    return [*front, *queue, *back]


def release_on_free(
    attention: Attention, table: Sequence[BlockId], is_keyed: Callable[[BlockId], bool]
) -> Release:
    """What freeing a request releases of one group's table [FREE-1, FREE-2, Q-32].

    Tail first, to the back; a sliding window puts its scratch blocks to the front.

    post: len(__return__.front) + len(__return__.back) == sum(b != 0 for b in table)
    post: isinstance(attention, SlidingWindowAttention) or not __return__.front
    """
    held = [block for block in reversed(table) if block != NULL_BLOCK]
    if not isinstance(attention, SlidingWindowAttention):
        return Release(front=(), back=tuple(held))
    return split_by_content(held, is_keyed)


def split_by_content(blocks: Sequence[BlockId], is_keyed: Callable[[BlockId], bool]) -> Release:
    """Blocks with content to the back, scratch blocks to the front [SKIP-3].

    post: len(__return__.front) + len(__return__.back) == len(blocks)
    """
    keyed = {block: is_keyed(block) for block in blocks}
    return Release(
        front=tuple(block for block in blocks if not keyed[block]),
        back=tuple(block for block in blocks if keyed[block]),
    )


@dataclass(frozen=True)
class Skip:
    """Table indexes that become null: `window` by SKIP-3, then `states` to the back [MAMBA-2]."""

    window: tuple[int, ...]
    states: tuple[int, ...]


def skipped_entries(attention: Attention, table: Sequence[BlockId], computed: Tokens) -> Skip:
    """The entries, in order of release, that no later step reads [SKIP-1, SKIP-2, SKIP-4, MAMBA-2].

    The skipped entries that are not yet null, last first. In Mamba's align mode a kept state can
    stand apart, with nulls between it and the others: it is released after them.

    pre: computed >= 0
    post: all(table[i] != 0 for i in __return__.window + __return__.states)
    post: all((i + 1) * attention.block_size <= computed for i in __return__.window + __return__.states)
    """
    if isinstance(attention, MambaState):
        computed = attention.settled_tokens(computed)
    end = Blocks(min(attention.skipped_blocks(computed), len(table)))
    if end == 0:
        return Skip(window=(), states=())
    past = [i for i in range(end - 1, -1, -1) if table[i] != NULL_BLOCK]
    adjacent = tuple(i for n, i in enumerate(past) if i == end - 1 - n)
    states = tuple(past[len(adjacent) :]) if isinstance(attention, AlignedMambaState) else ()
    return Skip(window=adjacent, states=states)
