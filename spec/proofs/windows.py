"""Sliding windows: what is kept is what can serve a hit, for all windows, block sizes and alignments.

Everything is counted in blocks. A served boundary lies at block `end`, the tail before it has `tail`
blocks, and EAGLE adds `behind` (0 or 1). A segment of s blocks is the distance between regular boundaries.
"""

import z3

from spec.proofs.encoding import at_least_zero, is_covering_blocks, is_full_blocks, window_skips
from spec.proofs.theorem import Claim, Theorem

block, tail, behind, segment = z3.Ints("block tail behind segment")
nth, first = z3.Ints("nth first")
boundary = z3.Int("boundary")
has_segment, has_boundary = z3.Bools("has_segment has_boundary")
window, size, end, skipped = z3.Ints("window size end skipped")

SETTING = (
    block >= 0,
    tail >= 0,
    segment > 0,
    boundary >= 0,
    z3.Or(behind == 0, behind == 1),
    z3.Or(has_segment, has_boundary),
)


def _needed_at(at: z3.ArithRef) -> z3.BoolRef:
    """A hit that ends with block `at` needs `block`: it is of the tail, or the one behind."""
    return z3.And(block >= at - tail, block < at + behind)


def _first_that_reaches() -> z3.BoolRef:
    """The first positive multiple of the segment whose tail, with what is behind, ends after `block`."""
    last = block + 1 - behind
    return z3.Or(
        z3.And(first == 1, last <= segment),
        z3.And(first > 1, (first - 1) * segment < last, last <= first * segment),
    )


def _useful() -> z3.BoolRef:
    """Some wanted length needs `block`: the nth regular one, or the prompt boundary [RETAIN-3]."""
    regular = z3.And(has_segment, nth >= 1, _needed_at(nth * segment))
    return z3.Or(regular, z3.And(has_boundary, boundary > 0, _needed_at(boundary)))


def _kept() -> z3.BoolRef:
    """The observed policy caches `block` [SWA-7, SWA-8, SWA-9]."""
    overlap = tail + behind >= segment
    regular = z3.And(has_segment, z3.Or(overlap, _needed_at(first * segment)))
    return z3.Or(regular, z3.And(has_boundary, _needed_at(boundary)))


def _order_of_multiples() -> z3.BoolRef:
    """A smaller number of segments is shorter by at least one segment."""
    return z3.And(
        z3.Implies(nth <= first - 1, nth * segment <= (first - 1) * segment),
        z3.Implies(nth >= first, nth * segment >= first * segment),
    )


def _useful_is_kept() -> tuple[Claim, ...]:
    return (
        Claim((segment > 0,), _order_of_multiples()),
        Claim((*SETTING, _first_that_reaches(), _order_of_multiples(), _useful()), _kept()),
    )


def _kept_is_useful() -> tuple[Claim, ...]:
    """The length that shows it is the boundary, or the `first` regular one."""
    exception = z3.And(behind == 1, block == 0)
    return (Claim((*SETTING, _first_that_reaches(), nth == first, _kept(), z3.Not(exception)), _useful()),)


def _tail_in_blocks() -> tuple[Claim, ...]:
    """A hit at the end of a block reads the `tail` blocks before it, which cover window - 1 tokens."""
    known = (
        size > 0,
        window > 0,
        end >= 0,
        is_covering_blocks(tail, window - 1, size),
        is_full_blocks(skipped, window_skips(end * size, window), size),
    )
    return (Claim(known, skipped == at_least_zero(end - tail)),)


def _tail_of_a_whole_window() -> Claim:
    known = (
        size > 0,
        window > 0,
        end >= 0,
        is_covering_blocks(tail, window, size),
        is_full_blocks(skipped, window_skips(end * size, window), size),
    )
    return Claim(known, skipped == at_least_zero(end - tail))


THEOREMS = (
    Theorem(
        "A hit of a sliding window reads the blocks that cover the window without its last token",
        ("SWA-1", "SWA-5"),
        _tail_in_blocks,
        _tail_of_a_whole_window,
        "that cover the whole window",
    ),
    Theorem(
        "What a wanted length needs is kept",
        ("RETAIN-3", "SWA-7", "SWA-8", "SWA-9"),
        _useful_is_kept,
        lambda: Claim(
            (*SETTING, _first_that_reaches(), _order_of_multiples(), _useful()),
            z3.And(has_segment, z3.Or(tail + behind >= segment, _needed_at(first * segment))),
        ),
        "without the prompt boundary",
    ),
    Theorem(
        "What is kept is needed by a wanted length, but for block 0 under EAGLE",
        ("SWA-7", "SWA-8", "SWA-9", "Q-40"),
        _kept_is_useful,
        lambda: Claim((*SETTING, _first_that_reaches(), nth == first, _kept()), _useful()),
        "without the exception",
    ),
)
