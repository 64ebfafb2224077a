"""How likely the alternatives of a draw are: of a configuration, of a scheduler's habits, of its steps.

A number is the probability of what it is named after; a tuple of options is chosen from evenly, so that
an option counts as often as it is listed; `..._weights` belong to the options beside them. Guidance
replaces some of them: `dataclasses.replace(DEFAULT, eagle=0.8)`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["full", "mla", "sliding", "sliding_mla", "chunked", "mamba"]
MambaMode = Literal["none", "all", "align"]

KINDS: tuple[Kind, ...] = ("full", "mla", "sliding", "sliding_mla", "chunked", "mamba")


@dataclass(frozen=True, slots=True)
class Weights:
    """The alternatives of one case."""

    # Configurations
    unusual: float = 0.03
    caching: float = 0.9
    block_sizes: tuple[int, ...] = (1, 2, 2, 3, 4, 4, 4, 8, 16)
    group_counts: tuple[int, ...] = (1, 2, 3, 4)
    group_count_weights: tuple[float, ...] = (5, 6, 3, 2)
    kinds: tuple[Kind, ...] = KINDS
    kind_weights: tuple[float, ...] = (6, 2, 6, 2, 3, 5)
    size_factors: tuple[int, ...] = (1, 2, 4)
    size_factor_weights: tuple[float, ...] = (6, 3, 1)
    ragged_chunk: float = 0.02
    """Whether chunks begin and end within blocks, among groups with chunks."""
    narrow_window: float = 0.01
    """Whether a window is one token wide."""
    second_full: float = 0.05
    """Whether groups with full attention keep different specs."""
    twins: float = 0.0
    """Whether a group has another one of its spec beside it, among configurations with several."""
    mamba_modes: tuple[MambaMode, ...] = ("none", "all", "align", "align")
    speculative_blocks: tuple[int, ...] = (0, 0, 1, 2, 3)
    cross: float = 0.15
    """Among configurations with caching off."""
    context_parallel: float = 0.4
    """Among configurations that can have it."""
    eagle: float = 0.35
    eagle_everywhere: float = 0.4
    """Whether all groups have EAGLE, among configurations where all may."""
    eagle_states: float = 0.1
    """Whether all groups have EAGLE, recurrent ones too: a catalogued deviation (Q-1)."""
    finer_eagle: float = 0.3
    """Whether a window that is finer than the alignment may have EAGLE."""
    retention: float = 0.35
    """Among configurations with windows."""
    pools: tuple[float, ...] = (0.3, 0.5, 0.8, 1.2, 2.0, 4.0)
    """Blocks in the pool, as multiples of what the longest request needs."""
    lengths: tuple[int, ...] = (6, 10, 16, 24)
    """Blocks of the longest request, or of what its longest blocks would be."""
    spare: int = 8
    """At the most so many blocks more than the share says, for luck."""
    capped_pool: float = 0.0
    """Whether the pool is as small as what one request can hold at a time."""
    budgets: tuple[float | None, ...] = (None, 0.5, 0.25, 1.0, 0.0)
    """The most tokens of a step, as shares of the longest request; None is no bound."""
    whole_budget: float = 0.0
    """Whether what a group reads and a step of the most tokens make whole blocks."""
    pickled: float = 0.25
    """Whether hashes are of pickled bytes: then requests have no extras."""
    stats: float = 0.8
    events: float = 0.75

    # Habits of a case's scheduler
    asynchronous: float = 0.25
    connector: float = 0.3
    lookaheads: tuple[int, ...] = (0, 0, 0, 1, 2, 4)
    varying_lookahead: float = 0.1
    gated: float = 0.25
    gate: float = 0.7
    """Whether an admission of such a scheduler must fit as a whole."""
    reserving: float = 0.15
    chatter: tuple[float, ...] = (0.0, 0.05, 0.2)
    """How likely a step is followed by a query or an upheaval that nothing depends on."""
    upheavals: tuple[float, ...] = (4, 1, 1, 1, 1, 1)
    """Of a common prefix, a table, a reset, one of an idle manager, an eviction, a release of skipped blocks."""

    # Requests
    long_prompt: float = 0.0
    """Whether a prompt is as long as it can be."""
    extras: float = 0.45
    """Whether requests of the case have salts, adapters, images and embeddings."""
    shared_prefix: float = 0.75
    shared_extras: float = 0.6
    """Among requests with a shared prefix."""
    almost_same: float = 0.35
    """Whether one of a request's extras is another, among those with extras."""
    embeds: float = 0.15
    skip_reading: float = 0.04
    arrivals: tuple[int, ...] = (0, 0, 1, 1, 2)
    answers: tuple[int, ...] = (1, 4, 12, 40)
    """How many tokens a request is to be answered with, drafts not counted."""

    # Steps
    run: float = 0.92
    admit: float = 0.85
    cut: float = 0.2
    """Whether a step computes less than it could."""
    cut_prompt: float = 0.3
    edges: float = 0.0
    """Whether a step that computes less than it could ends right before a block can be released, or there."""
    external: float = 0.5
    """Among admissions of a scheduler with a connector."""
    loads_later: float = 0.4
    all_accepted: float = 0.5
    all_rejected: float = 0.1
    """Among outputs that are not accepted as a whole."""
    load_ends: float = 0.7
    load_fails: float = 0.15
    continues: float = 0.3
    aborts: float = 0.03
    preempts: float = 0.02


DEFAULT = Weights()
