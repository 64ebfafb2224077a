"""Which full blocks are worth keeping in the prefix cache.

Two definitions, kept apart:

* a block is *useful* if some length that retention wants to serve needs it;
* a block is *kept* by the observed policy, which is dense for every kind but sliding windows.

Useful implies kept, always. Kept implies useful for sliding windows, but for block 0 under EAGLE,
which is also kept where the only boundary is 0 [Q-40].

The lengths that retention wants to serve are: without a retention interval every positive multiple
of the alignment; with an interval k > 0 the positive multiples of k and the prompt boundary; with
interval 0 the prompt boundary alone [RETAIN-3]. The alignment is the scheduler's block size, also
where a single group is looked up at its own, finer block size [Q-41].
"""

from dataclasses import dataclass

from spec.arithmetic import full_blocks, round_down
from spec.attention import Attention, SlidingWindowAttention
from spec.hits import longest_usable
from spec.units import Blocks, Tokens


@dataclass(frozen=True)
class Retention:
    """What the cache is asked to serve: `interval` None is dense [RETAIN-1, RETAIN-3].

    inv: self.alignment > 0
    inv: self.interval is None or (self.interval >= 0 and self.interval % self.alignment == 0)
    """

    alignment: Tokens
    interval: Tokens | None = None

    def segment(self) -> Tokens | None:
        """The distance between regularly served lengths, None if only the prompt boundary is.

        post: __return__ is None or (__return__ > 0 and __return__ % self.alignment == 0)
        post: (__return__ or 0) == (self.alignment if self.interval is None else self.interval)
        """
        if self.interval is None:
            return self.alignment
        return self.interval if self.interval > 0 else None

    def prompt_boundary(self, prompt_tokens: Tokens) -> Tokens | None:
        """The longest hit that the same prompt could have, None without an interval [RETAIN-5].

        Tokens that were generated later do not move it [Q-38].

        pre: prompt_tokens >= 0
        post: (__return__ is None) == (self.interval is None)
        post: __return__ is None or 0 <= __return__ <= max(0, prompt_tokens - 1)
        post: __return__ is None or __return__ % self.alignment == 0
        post: __return__ is None or prompt_tokens - 1 < __return__ + self.alignment
        """
        if self.interval is None:
            return None
        return round_down(longest_usable(prompt_tokens), self.alignment)

    def wants(self, length: Tokens, prompt_tokens: Tokens) -> bool:
        """Whether retention wants hits of `length` tokens to be served [RETAIN-3].

        pre: length >= 0 and prompt_tokens >= 0
        post: not __return__ or (length > 0 and length % self.alignment == 0)
        post: self.interval is not None or __return__ == (length > 0 and length % self.alignment == 0)
        post: self.interval is None or __return__ == (length > 0 and (length == self.prompt_boundary(prompt_tokens) or (self.interval > 0 and length % self.interval == 0)))
        """
        segment = self.segment()
        regular = segment is not None and length % segment == 0
        return length > 0 and (regular or length == self.prompt_boundary(prompt_tokens))


def is_needed_at(attention: Attention, *, eagle: bool, block: Blocks, length: Tokens) -> bool:
    """Whether a hit of `length` tokens needs `block` to be cached [HIT-7, EAGLE-3].

    pre: block >= 0
    pre: length >= 0 and length % attention.block_size == 0
    post: not __return__ or length > 0
    post: not __return__ or block * attention.block_size < length + (attention.block_size if eagle else 0)
    post: __return__ or length == 0 or block not in attention.blocks_read(length)
    post: __return__ or length == 0 or not eagle or block not in attention.eagle_blocks(length)
    """
    if length == 0:
        return False
    behind = attention.eagle_blocks(length) if eagle else range(0)
    return block in attention.blocks_read(length) or block in behind


def is_useful(
    attention: Attention,
    retention: Retention,
    *,
    eagle: bool,
    block: Blocks,
    prompt_tokens: Tokens,
    horizon: Tokens,
) -> bool:
    """Whether some wanted length up to `horizon` tokens needs `block` [RETAIN-3, SWA-7].

    pre: retention.alignment % attention.block_size == 0
    pre: block >= 0 and prompt_tokens >= 0 and horizon >= 0
    post: not __return__ or horizon >= retention.alignment
    post: not __return__ or is_kept(attention, retention, eagle=eagle, block=block, prompt_tokens=prompt_tokens)
    """
    return any(
        retention.wants(Tokens(length), prompt_tokens)
        and is_needed_at(attention, eagle=eagle, block=block, length=Tokens(length))
        for length in range(0, horizon + 1, retention.alignment)
    )


def is_kept(
    attention: Attention, retention: Retention, *, eagle: bool, block: Blocks, prompt_tokens: Tokens
) -> bool:
    """Whether the observed policy caches `block` once it is full [SWA-7, SWA-8, SWA-9, MGR-5].

    A sliding window keeps the tail of blocks that a hit at each served boundary needs; where the
    tails would overlap everything is kept, whatever the interval [Q-39]. Every other kind keeps all.

    pre: retention.alignment % attention.block_size == 0
    pre: block >= 0 and prompt_tokens >= 0
    post: __return__ or isinstance(attention, SlidingWindowAttention)
    """
    if not isinstance(attention, SlidingWindowAttention):
        return True
    behind = 1 if eagle else 0
    tail = attention.tail_blocks() + behind

    def ends_tail(boundary: Tokens) -> bool:
        end = full_blocks(boundary, attention.block_size) + behind
        return end - tail <= block < end

    segment = retention.segment()
    if segment is not None:
        blocks_a_segment = full_blocks(segment, attention.block_size)
        if tail >= blocks_a_segment:
            return True
        # The first positive boundary whose tail can reach this block is the only one that can.
        segments = max(1, -(-(block + 1 - behind) // blocks_a_segment))
        if ends_tail(Tokens(segments * segment)):
            return True
    boundary = retention.prompt_boundary(prompt_tokens)
    return boundary is not None and ends_tail(boundary)


def cacheable_tokens(
    attention: Attention, alignment: Tokens, *, eagle: bool, lone_group: bool, tokens: Tokens
) -> Tokens:
    """How many of the leading `tokens` may be put into the prefix cache [COORD-4, COORD-5].

    A lone group caches every full block. Several groups serve only aligned lengths, so they cache
    up to the last one, and under EAGLE the block behind it [EAGLE-3].

    pre: alignment > 0 and tokens >= 0
    post: 0 <= __return__ <= tokens
    post: not lone_group or __return__ == tokens
    post: lone_group or __return__ > tokens - alignment
    post: lone_group or eagle or __return__ % alignment == 0
    post: lone_group or not eagle or __return__ in (0, tokens) or (__return__ - attention.block_size) % alignment == 0
    """
    if lone_group:
        return tokens
    aligned = round_down(tokens, alignment)
    if eagle and aligned > 0:
        return Tokens(min(tokens, aligned + attention.block_size))
    return aligned
