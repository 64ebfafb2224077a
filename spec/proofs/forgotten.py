"""What is given back is never read again: windows, chunks and recurrent states.

`computed` tokens will not be computed again, and a later step computes token `later`. What that token reads
is said here by what the layer is, and not by the rule that gives blocks back.
"""

import z3

from spec.proofs.encoding import is_covering_blocks, is_full_blocks, mamba_skips, window_skips
from spec.proofs.theorem import Claim, Theorem

computed, later, earlier = z3.Ints("computed later earlier")
size, entry, window, chunk = z3.Ints("size entry window chunk")
own, of_earlier, chunks, state, past, drafts = z3.Ints("own of_earlier chunks state past drafts")

STEP = (size > 0, computed >= 0, later >= computed, earlier >= 0, entry >= 0)
IN_ENTRY = z3.And(entry * size <= earlier, earlier < (entry + 1) * size)


def _window(skips: z3.ArithRef) -> Claim:
    """A token reads itself and the window - 1 before it."""
    given_back = (entry + 1) * size <= skips
    reads = z3.And(earlier <= later, earlier > later - window)
    return Claim((*STEP, window > 0, IN_ENTRY, given_back), z3.Not(reads))


CHUNKS = (
    chunk > 0,
    is_full_blocks(own, later, chunk),
    is_full_blocks(of_earlier, earlier, chunk),
    is_full_blocks(chunks, computed, chunk),
)
READS_CHUNK = z3.And(earlier <= later, own == of_earlier)
"""A token reads those of its own chunk, up to itself."""


def _chunked() -> tuple[Claim, ...]:
    """What is given back lies before the complete chunks, in an earlier chunk than any later token's."""
    before = earlier < chunks * chunk
    return (
        Claim((*STEP, *CHUNKS, IN_ENTRY, (entry + 1) * size <= chunks * chunk), before),
        Claim((*STEP, *CHUNKS, before), of_earlier < chunks),
        Claim((*STEP, *CHUNKS), own >= chunks),
        Claim((of_earlier < chunks, own >= chunks), z3.Not(READS_CHUNK)),
    )


def _chunk_cut() -> Claim:
    return Claim((*STEP, *CHUNKS, IN_ENTRY, (entry + 1) * size <= computed), z3.Not(READS_CHUNK))


def _recurrent(settled: z3.ArithRef) -> Claim:
    """A step that starts at `later` reads the state behind the token before it, in its block's entry.

    It starts at what is settled or behind: up to `drafts` of the computed tokens may be rejected.
    """
    starts = (later >= settled, later >= 1, settled >= 0, drafts >= 0)
    known = (
        is_covering_blocks(state, later, size),
        is_full_blocks(past, mamba_skips(settled), size),
    )
    return Claim((size > 0, computed >= 0, entry >= 0, *starts, *known, entry < past), state - 1 != entry)


def _rejected() -> Claim:
    """As if all computed tokens were settled, while the step starts behind the drafts that stayed."""
    known = (
        is_covering_blocks(state, later, size),
        is_full_blocks(past, mamba_skips(computed), size),
        drafts >= 0,
        later >= computed - drafts,
        later >= 1,
    )
    return Claim((size > 0, computed >= 0, entry >= 0, *known, entry < past), state - 1 != entry)


THEOREMS = (
    Theorem(
        "No later token's window reaches into a block that was given back",
        ("SKIP-1", "MGR-2", "SWA-5", "PROTO-18"),
        lambda: (_window(window_skips(computed, window)),),
        lambda: _window(window_skips(computed, window) + 1),
        "one token earlier",
    ),
    Theorem(
        "No later token's chunk reaches into a block that was given back",
        ("SKIP-1", "MGR-2", "CHUNK-2", "PROTO-18"),
        _chunked,
        _chunk_cut,
        "all that is computed is given back",
    ),
    Theorem(
        "No later step starts from a state that was given back, whichever drafts were rejected",
        ("SKIP-1", "MAMBA-2", "PROTO-20"),
        lambda: (_recurrent(z3.If(computed > drafts, computed - drafts, 0)),),
        _rejected,
        "without leaving out the drafts",
    ),
)
