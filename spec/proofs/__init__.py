"""Theorems about the definitions of `spec`, for all sizes, checked by z3: a chapter a module."""

from spec.proofs import (
    eviction_order,
    forgotten,
    held_blocks,
    longest_hit,
    numbers,
    pool,
    windows,
)
from spec.proofs.theorem import Answer, Claim, Theorem, can_hold, decide, decide_all

THEOREMS: tuple[Theorem, ...] = (
    *numbers.THEOREMS,
    *longest_hit.THEOREMS,
    *windows.THEOREMS,
    *held_blocks.THEOREMS,
    *forgotten.THEOREMS,
    *pool.THEOREMS,
    *eviction_order.THEOREMS,
)

__all__ = ["THEOREMS", "Answer", "Claim", "Theorem", "can_hold", "decide", "decide_all"]
