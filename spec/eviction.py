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
    post: len(__return__) == len(queue) + sum(block in unused for block in release.front + release.back)
    post: __return__[sum(block in unused for block in release.front):][:len(queue)] == list(queue)
    post: all(block in unused for block in __return__ if block not in queue)
    """
    front = [block for block in release.front if block in unused]
    back = [block for block in release.back if block in unused]
    return [*front, *queue, *back]


def release_on_free(
    attention: Attention, table: Sequence[BlockId], is_keyed: Callable[[BlockId], bool]
) -> Release:
    """What freeing a request releases of one group's table [FREE-1, FREE-2, Q-32].

    Tail first, to the back; a sliding window puts its scratch blocks to the front.

    post: sorted(__return__.front + __return__.back) == sorted(b for b in table if b != 0)
    post: isinstance(attention, SlidingWindowAttention) or list(__return__.back[::-1]) == [b for b in table if b != 0]
    """
    held = [block for block in reversed(table) if block != NULL_BLOCK]
    if not isinstance(attention, SlidingWindowAttention):
        return Release(front=(), back=tuple(held))
    return split_by_content(held, is_keyed)


def split_by_content(blocks: Sequence[BlockId], is_keyed: Callable[[BlockId], bool]) -> Release:
    """Blocks with content to the back, scratch blocks to the front [SKIP-3].

    post: list(__return__.front) == [block for block in blocks if block in __return__.front]
    post: list(__return__.back) == [block for block in blocks if block not in __return__.front]
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
    post: all(i > j for i, j in zip(__return__.window + __return__.states, (__return__.window + __return__.states)[1:]))
    post: not __return__.states or isinstance(attention, AlignedMambaState)
    post: not __return__.window or __return__.window[0] - __return__.window[-1] + 1 == len(__return__.window)
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
