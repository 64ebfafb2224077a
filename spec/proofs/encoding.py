"""The definitions of `spec` as conditions over whole numbers of any size.

Division by an unknown block size is not linear. So a quotient is not computed but described: it is the
only number between two bounds. `numbers` proves that there is exactly one, and `tests/spec/test_proofs.py`
holds each condition here against the function of `spec` that it stands for, value by value.
"""

from typing import TypeAlias

import z3

Number: TypeAlias = "z3.ArithRef | int"


def is_full_blocks(blocks: Number, tokens: Number, size: Number) -> z3.BoolRef:
    """`blocks` is `spec.arithmetic.full_blocks(tokens, size)`."""
    return z3.And(blocks * size <= tokens, tokens < (blocks + 1) * size)


def is_covering_blocks(blocks: Number, tokens: Number, size: Number) -> z3.BoolRef:
    """`blocks` is `spec.arithmetic.covering_blocks(tokens, size)`."""
    return z3.And((blocks - 1) * size < tokens, tokens <= blocks * size)


def at_least_zero(number: Number) -> z3.ArithRef:
    """The number, or 0 if it is negative."""
    return z3.If(number > 0, number, 0)


def smaller(one: Number, other: Number) -> z3.ArithRef:
    """The smaller of two numbers."""
    return z3.If(one < other, one, other)


def window_skips(computed: Number, window: Number) -> z3.ArithRef:
    """`SlidingWindowAttention.skipped_tokens(computed)`."""
    return at_least_zero(computed - window + 1)


def mamba_skips(computed: Number) -> z3.ArithRef:
    """`MambaState.skipped_tokens(computed)`."""
    return at_least_zero(computed - 1)
