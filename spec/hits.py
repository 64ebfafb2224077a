"""The longest hit: the largest aligned length that every group can serve.

    hit(n) = max { L : L = 0, or L a multiple of the alignment, L <= n - 1, every group serves L }

That is the whole definition. It says nothing of how an implementation finds the maximum; here
the lengths are tried from the top, and the first that is served is the maximum [HIT-4, HIT-7].

That costs about one probe a block on the caches that occur, since a missing last block rules a length
out at once. The worst case is quadratic: full attention with every block cached but the first, which
only an eviction by hand can leave behind. `benchmarks/lookup.py` measures both up to 128 k tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spec.arithmetic import full_blocks, round_down
from spec.attention import Attention
from spec.units import Blocks, Tokens


@dataclass(frozen=True)
class SpecGroup:
    """Groups with an equal spec, which serve a length only together [HIT-2].

    `eagle` is set if any member feeds EAGLE's draft head [CFG-5, CFG-6]. `is_cached(i)` says
    whether block i of the request is cached in every member [POOL-3].
    """

    attention: Attention
    eagle: bool
    is_cached: Callable[[Blocks], bool]


def longest_usable(num_tokens: Tokens) -> Tokens:
    """The longest prefix that may be a hit: at least one token is left to compute [HIT-8, HIT-10].

    pre: num_tokens >= 0
    post: __return__ == (num_tokens - 1 if num_tokens > 0 else 0)
    """
    return Tokens(max(0, num_tokens - 1))


def candidate_lengths(num_tokens: Tokens, alignment: Tokens) -> range:
    """All lengths that a hit may have, longest first: 0 is always among them [HIT-7, INV-9].

    pre: num_tokens >= 0 and alignment > 0
    post: __return__[-1] == 0 and __return__.step == -alignment
    post: __return__[0] % alignment == 0
    post: __return__[0] <= max(0, num_tokens - 1) < __return__[0] + alignment
    """
    return range(round_down(longest_usable(num_tokens), alignment), -1, -alignment)


def serves(group: SpecGroup, length: Tokens, limit: Tokens) -> bool:
    """Whether the group's caches let a computation resume at `length` [HIT-7, EAGLE-1, EAGLE-2].

    With EAGLE the block behind the hit is cached too, and ends within `limit`, the longest usable
    prefix. Needed blocks are looked at from last to first: the last is the likeliest to be absent.

    pre: 0 <= length <= limit and length % group.attention.block_size == 0
    post: __return__ or length > 0
    post: not __return__ or length == 0 or not group.eagle or (length + len(group.attention.eagle_blocks(length)) * group.attention.block_size <= limit)
    """
    if length == 0:
        return True
    read = group.attention.blocks_read(length)
    behind = group.attention.eagle_blocks(length) if group.eagle else range(0)
    return (
        behind.stop <= full_blocks(limit, group.attention.block_size)
        and all(group.is_cached(Blocks(i)) for i in reversed(behind))
        and all(group.is_cached(Blocks(i)) for i in reversed(read))
    )


def longest_hit(groups: Sequence[SpecGroup], num_tokens: Tokens, alignment: Tokens) -> Tokens:
    """The longest hit of a request with `num_tokens` tokens, in tokens [HIT-6, HIT-7].

    Without any group nothing is stored, so nothing can be hit [Q-24]. A window of one token reads
    nothing before itself, and a chunk that ends at L nothing before L: such lengths are hits
    whatever is cached [Q-8, Q-9].

    pre: num_tokens >= 0 and alignment > 0
    pre: all(alignment % group.attention.block_size == 0 for group in groups)
    post: 0 <= __return__ <= max(0, num_tokens - 1)
    post: __return__ % alignment == 0
    post: len(groups) > 0 or __return__ == 0
    """
    if not groups:
        return Tokens(0)
    limit = longest_usable(num_tokens)
    return next(
        length
        for length in map(Tokens, candidate_lengths(num_tokens, alignment))
        if all(serves(group, length, limit) for group in groups)
    )
