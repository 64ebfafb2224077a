"""How many blocks a request of a window or a chunk holds at once, and which caps bound that.

A step computes `new` of at most `batched` tokens behind `computed` ones and has slots for `lookahead`
more, in a sequence of at most `limit`; blocks whose tokens are all past were given back before.
"""

import z3

from spec.proofs.encoding import is_covering_blocks, is_full_blocks, smaller, window_skips
from spec.proofs.theorem import Claim, Theorem

computed, new, batched, lookahead, limit = z3.Ints("computed new batched lookahead limit")
size, window, chunk, chunks, times = z3.Ints("size window chunk chunks times")
covering, past, cap = z3.Ints("covering past cap")

STEP = (
    size > 0,
    computed >= 0,
    new >= 0,
    new <= batched,
    lookahead >= 0,
    computed <= limit,
    is_covering_blocks(covering, smaller(computed + new + lookahead, limit), size),
)
WINDOW = (window > 0, is_full_blocks(past, window_skips(computed, window), size))
CHUNK = (chunk > 0, is_full_blocks(chunks, computed, chunk), is_full_blocks(past, chunks * chunk, size))
IN_WHOLE_BLOCKS = (times > 0, chunk == times * size, past == chunks * times)
"""The chunk is `times` blocks, so the blocks before it are known; `_blocks_of_whole_chunks` proves it."""

HELD = covering - past


def _cap_of(still_read: z3.ArithRef, ahead: z3.ArithRef | int) -> z3.BoolRef:
    return is_covering_blocks(cap, smaller(still_read + batched + ahead, limit), size)


def _blocks_of_whole_chunks() -> Claim:
    known = (size > 0, computed >= 0, times > 0, chunk == times * size)
    return Claim((*known, *CHUNK), past == chunks * times)


def _window() -> tuple[Claim, ...]:
    return (Claim((*STEP, *WINDOW, _cap_of(window - 1, lookahead)), cap + 1 >= HELD),)


def _whole_chunks() -> tuple[Claim, ...]:
    known = (*STEP, *CHUNK, *IN_WHOLE_BLOCKS, _cap_of(chunk, lookahead))
    return (_blocks_of_whole_chunks(), Claim(known, cap >= HELD))


def _ragged_chunks() -> tuple[Claim, ...]:
    return (Claim((*STEP, *CHUNK, _cap_of(chunk, lookahead)), cap + 1 >= HELD),)


def _observed_caps() -> tuple[Claim, ...]:
    """Without lookahead: the window's with one block more, the chunk's only in whole blocks."""
    without = (*STEP, lookahead == 0)
    return (
        Claim((*without, *WINDOW, _cap_of(window - 1, 0)), cap + 1 >= HELD),
        _blocks_of_whole_chunks(),
        Claim((*without, *CHUNK, *IN_WHOLE_BLOCKS, _cap_of(chunk, 0)), cap >= HELD),
    )


THEOREMS = (
    Theorem(
        "A sliding window holds at most the blocks of window - 1, a step and its lookahead, and one more",
        ("SPEC-8", "ADMIT-1", "Q-50"),
        _window,
        lambda: Claim((*STEP, *WINDOW, _cap_of(window - 1, lookahead)), cap >= HELD),
        "without the one more",
    ),
    Theorem(
        "A chunk of whole blocks holds at most the blocks of the chunk, a step and its lookahead",
        ("SPEC-8", "ADMIT-1", "Q-50"),
        _whole_chunks,
        lambda: Claim((*STEP, *CHUNK, *IN_WHOLE_BLOCKS, _cap_of(chunk, 0)), cap >= HELD),
        "without the lookahead: Q-50",
    ),
    Theorem(
        "Any other chunk may hold one block more",
        ("SPEC-8", "ADMIT-1", "Q-51"),
        _ragged_chunks,
        lambda: Claim((*STEP, *CHUNK, _cap_of(chunk, lookahead)), cap >= HELD),
        "none more: Q-51",
    ),
    Theorem(
        "The observed caps hold without lookahead, a chunk's only if it is whole blocks",
        ("SPEC-8", "ADMIT-1", "Q-50", "Q-51"),
        _observed_caps,
        lambda: Claim((*STEP, *WINDOW, _cap_of(window - 1, 0)), cap + 1 >= HELD),
        "with lookahead, too: Q-50",
    ),
)
