"""Counting blocks: the numbers that `spec.arithmetic` defines exist, once, and in the right order."""

import z3

from spec.proofs.encoding import is_covering_blocks, is_full_blocks
from spec.proofs.theorem import Claim, Theorem

tokens, more, size = z3.Ints("tokens more size")
blocks, others = z3.Ints("blocks others")
COUNTABLE = (tokens >= 0, size > 0)


def _one_full_count() -> tuple[Claim, ...]:
    """Induction over tokens, and no two counts at once."""
    return (
        Claim((size > 0,), is_full_blocks(0, 0, size)),
        Claim(
            (*COUNTABLE, is_full_blocks(blocks, tokens, size)),
            z3.Or(is_full_blocks(blocks, tokens + 1, size), is_full_blocks(blocks + 1, tokens + 1, size)),
        ),
        Claim(
            (*COUNTABLE, is_full_blocks(blocks, tokens, size), is_full_blocks(others, tokens, size)),
            blocks == others,
        ),
    )


def _one_covering_count() -> tuple[Claim, ...]:
    return (
        Claim((size > 0,), is_covering_blocks(0, 0, size)),
        Claim(
            (*COUNTABLE, is_covering_blocks(blocks, tokens, size)),
            z3.Or(
                is_covering_blocks(blocks, tokens + 1, size), is_covering_blocks(blocks + 1, tokens + 1, size)
            ),
        ),
        Claim(
            (*COUNTABLE, is_covering_blocks(blocks, tokens, size), is_covering_blocks(others, tokens, size)),
            blocks == others,
        ),
    )


def _covering_is_full_and_the_rest() -> tuple[Claim, ...]:
    known = (*COUNTABLE, is_full_blocks(blocks, tokens, size), is_covering_blocks(others, tokens, size))
    return (Claim(known, others == blocks + z3.If(blocks * size == tokens, 0, 1)),)


def _more_tokens_need_no_fewer_blocks() -> tuple[Claim, ...]:
    return (
        Claim(
            (
                *COUNTABLE,
                more >= tokens,
                is_full_blocks(blocks, tokens, size),
                is_full_blocks(others, more, size),
            ),
            blocks <= others,
        ),
        Claim(
            (
                *COUNTABLE,
                more >= tokens,
                is_covering_blocks(blocks, tokens, size),
                is_covering_blocks(others, more, size),
            ),
            blocks <= others,
        ),
    )


def _apart_and_together() -> tuple[tuple[z3.BoolRef, ...], z3.ArithRef]:
    together = z3.Int("together")
    known = (
        *COUNTABLE,
        more >= 0,
        is_covering_blocks(blocks, tokens, size),
        is_covering_blocks(others, more, size),
        is_covering_blocks(together, tokens + more, size),
    )
    return known, together


def _two_parts() -> tuple[Claim, ...]:
    known, together = _apart_and_together()
    return (Claim(known, z3.And(together <= blocks + others, blocks + others <= together + 1)),)


def _two_parts_exactly() -> Claim:
    known, together = _apart_and_together()
    return Claim(known, together == blocks + others)


THEOREMS = (
    Theorem(
        "Every number of tokens has exactly one number of full blocks",
        ("HASH-8",),
        _one_full_count,
        lambda: Claim((*COUNTABLE, is_full_blocks(blocks, tokens, size)), blocks * size == tokens),
        "the full blocks hold all tokens",
    ),
    Theorem(
        "Every number of tokens has exactly one number of covering blocks",
        ("NEED-1", "GET-1"),
        _one_covering_count,
        lambda: Claim((*COUNTABLE, is_covering_blocks(blocks, tokens, size)), blocks * size == tokens),
        "covering blocks hold no free slot",
    ),
    Theorem(
        "The covering blocks are the full ones, and one more if a token is left",
        ("HASH-8", "NEED-1"),
        _covering_is_full_and_the_rest,
        lambda: Claim(
            (*COUNTABLE, is_full_blocks(blocks, tokens, size), is_covering_blocks(others, tokens, size)),
            others == blocks + 1,
        ),
        "always one more",
    ),
    Theorem(
        "More tokens never fill or need fewer blocks",
        ("HASH-8", "NEED-1"),
        _more_tokens_need_no_fewer_blocks,
        lambda: Claim(
            (
                *COUNTABLE,
                more > tokens,
                is_full_blocks(blocks, tokens, size),
                is_full_blocks(others, more, size),
            ),
            blocks < others,
        ),
        "more tokens fill more blocks",
    ),
    Theorem(
        "Two parts of a sequence, counted apart, need at most one block more than together",
        ("NEED-1",),
        _two_parts,
        _two_parts_exactly,
        "they need as many",
    ),
)
