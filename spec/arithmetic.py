"""Counting: how tokens and blocks convert into each other.

A block of size b at index i covers the token positions [i·b, (i+1)·b) [DATA-9].
"""

from spec.units import Blocks, Tokens


def full_blocks(tokens: Tokens, block_size: Tokens) -> Blocks:
    """How many blocks `tokens` tokens fill completely [HASH-8].

    pre: tokens >= 0 and block_size > 0
    post: 0 <= __return__ * block_size <= tokens < (__return__ + 1) * block_size
    """
    return Blocks(tokens // block_size)


def covering_blocks(tokens: Tokens, block_size: Tokens) -> Blocks:
    """How many blocks it takes to give each of `tokens` tokens a slot [NEED-1, GET-1].

    pre: tokens >= 0 and block_size > 0
    post: (__return__ - 1) * block_size < tokens <= __return__ * block_size
    """
    return Blocks(-(-tokens // block_size))


def tokens_in(blocks: Blocks, block_size: Tokens) -> Tokens:
    """How many tokens `blocks` full blocks hold [HIT-1].

    pre: blocks >= 0 and block_size > 0
    post: __return__ % block_size == 0
    post: __return__ // block_size == blocks
    """
    return Tokens(blocks * block_size)


def round_down(tokens: Tokens, multiple: Tokens) -> Tokens:
    """The largest multiple of `multiple` that is at most `tokens` [COORD-5, SWA-7].

    pre: tokens >= 0 and multiple > 0
    post: __return__ % multiple == 0
    post: __return__ <= tokens < __return__ + multiple
    """
    return Tokens(tokens - tokens % multiple)
