"""What a case is about: weights that are tilted together, so that rare things meet.

What needs one rare thing is found by chance; what needs four at once is not. Three of four cases
have one, which makes its own things usual, and leaves the others as they are.
"""

from dataclasses import dataclass, replace
from typing import Any

from kvref.fuzz.choices import Choices
from kvref.fuzz.weights import DEFAULT, Weights


@dataclass(frozen=True, slots=True)
class Theme:
    """A name, and the weights of its cases."""

    name: str
    weights: Weights


def _theme(name: str, **changes: Any) -> Theme:
    return Theme(name, replace(DEFAULT, **changes))


FORGETS: dict[str, Any] = {
    "block_sizes": (1, 1, 2, 4),
    "size_factor_weights": (9, 1, 0),
    "pools": (1.2, 2.0, 4.0),
    "budgets": (None, 1.0),
    "chatter": (0.9,),
    "upheavals": (0, 0, 0, 0, 1, 0),
    "connector": 0.3,
    "asynchronous": 0.1,
    "shared_prefix": 0.95,
    "answers": (1, 1, 4),
    "extras": 0.1,
    "arrivals": (0, 1, 1),
    "cut_prompt": 0.1,
}
"""Blocks are evicted all the time, of a pool that is large enough."""

PLAIN = Theme("plain", DEFAULT)

THEMES = (
    PLAIN,
    # What a request may hold at a time, to a block: windows, chunks that cut blocks, drafts.
    _theme(
        "tight gate",
        caching=0.4,
        block_sizes=(2, 3, 4, 4),
        group_counts=(1, 2),
        group_count_weights=(3, 1),
        kind_weights=(1, 0, 4, 1, 9, 0),
        ragged_chunk=0.7,
        capped_pool=1.0,
        lengths=(10, 16, 24),
        budgets=(0.0, 0.05, 0.1, 0.2),
        whole_budget=1.0,
        gated=1.0,
        gate=1.0,
        reserving=0.0,
        lookaheads=(0, 0, 0, 2),
        varying_lookahead=0.25,
        connector=0.1,
        shared_prefix=0.4,
        long_prompt=0.6,
        answers=(1,),
        arrivals=(1, 1, 2),
        cut=0.3,
        cut_prompt=0.6,
        edges=1.0,
        aborts=0.1,
    ),
    # Tables that are longer than what is left of their tokens, in a pool that is full.
    _theme(
        "rejected drafts",
        caching=0.7,
        cross=0.0,
        block_sizes=(1,),
        group_counts=(2,),
        group_count_weights=(1,),
        size_factor_weights=(9, 1, 0),
        kind_weights=(8, 2, 0, 0, 0, 12),
        mamba_modes=("align",),
        speculative_blocks=(0, 0, 0, 2),
        eagle=0.0,
        pools=(0.3, 0.5),
        lookaheads=(4,),
        varying_lookahead=1.0,
        connector=0.0,
        gated=0.0,
        reserving=0.0,
        all_accepted=0.0,
        all_rejected=0.9,
        answers=(12, 40),
        arrivals=(0, 1, 1),
        admit=0.6,
        asynchronous=0.0,
        extras=0.1,
        chatter=(0.0,),
        run=1.0,
        cut=0.0,
        aborts=0.0,
    ),
    # Hits that are longer than a window or a chunk, in a pool that holds what such a request has at a time.
    _theme(
        "long hits",
        block_sizes=(1, 2, 2, 4),
        group_counts=(1, 2),
        group_count_weights=(1, 3),
        kind_weights=(6, 1, 6, 2, 3, 0),
        eagle=0.1,
        retention=0.1,
        pools=(0.3, 0.5, 0.5, 0.8),
        capped_pool=0.3,
        spare=3,
        budgets=(0.25, 0.1, 0.0),
        gated=1.0,
        reserving=0.0,
        lookaheads=(0,),
        connector=0.1,
        extras=0.1,
        shared_prefix=0.95,
        long_prompt=0.2,
        answers=(1,),
        arrivals=(1, 1, 2),
        cut_prompt=0.1,
    ),
    # A step is scheduled before it is known which drafts of the last one hold, in a pool where nothing rests.
    _theme(
        "drafts in flight",
        caching=0.3,
        block_sizes=(2, 3, 4, 4),
        group_counts=(1, 2),
        group_count_weights=(1, 2),
        size_factor_weights=(9, 1, 0),
        kind_weights=(4, 1, 0, 0, 0, 12),
        mamba_modes=("all", "all", "none", "none", "align"),
        speculative_blocks=(2, 3),
        eagle=0.1,
        pools=(0.5, 0.8),
        asynchronous=1.0,
        lookaheads=(3, 4),
        connector=0.1,
        reserving=0.0,
        all_accepted=0.0,
        all_rejected=0.9,
        answers=(12, 40),
        arrivals=(1, 1, 2),
        extras=0.1,
        chatter=(0.0,),
        run=1.0,
        cut=0.0,
        aborts=0.0,
    ),
    # Requests that differ in one thing alone.
    _theme(
        "alike",
        block_sizes=(2, 3, 4, 4),
        group_count_weights=(6, 2, 1, 0),
        kind_weights=(9, 3, 3, 1, 1, 1),
        lengths=(6, 10),
        retention=0.1,
        pools=(0.8, 2.0, 4.0),
        pickled=0.0,
        lookaheads=(0,),
        connector=0.1,
        extras=1.0,
        embeds=0.3,
        shared_prefix=0.95,
        shared_extras=0.95,
        almost_same=0.7,
        answers=(1, 1, 4, 12),
        arrivals=(1, 1, 2),
        chatter=(0.3,),
        continues=0.6,
    ),
    # Single blocks of a window lose their content, and the prefix is asked for all the same.
    _theme(
        "forgotten tails",
        **FORGETS,
        group_counts=(2, 3),
        group_count_weights=(3, 1),
        kind_weights=(1, 0, 8, 4, 0, 0),
        eagle=1.0,
        eagle_everywhere=0.7,
        retention=0.1,
    ),
    # One of several recurrent groups loses a state that the others have.
    _theme(
        "forgotten states",
        **FORGETS,
        group_counts=(2,),
        group_count_weights=(1,),
        kind_weights=(4, 1, 2, 1, 1, 9),
        mamba_modes=("all", "align"),
        twins=0.8,
        eagle=0.3,
        eagle_states=0.5,
    ),
    # Loads beside hits, in a pool that is nearly full.
    _theme(
        "loads",
        caching=1.0,
        kind_weights=(6, 1, 7, 2, 1, 5),
        mamba_modes=("all", "align", "align"),
        block_sizes=(1, 2, 2, 4),
        size_factor_weights=(9, 1, 0),
        group_counts=(2, 3),
        group_count_weights=(3, 1),
        eagle=0.05,
        retention=0.1,
        lengths=(3, 4, 6),
        pools=(0.5, 0.8),
        capped_pool=0.2,
        spare=3,
        lookaheads=(0,),
        connector=1.0,
        external=0.5,
        loads_later=0.2,
        load_fails=0.05,
        admit=1.0,
        cut_prompt=0.1,
        preempts=0.0,
        extras=0.1,
        shared_prefix=0.95,
        answers=(1,),
    ),
    # Groups of several block sizes, some under EAGLE.
    _theme(
        "finer groups",
        block_sizes=(1, 2, 2, 3, 4),
        group_counts=(2, 3),
        group_count_weights=(3, 1),
        kind_weights=(8, 2, 10, 3, 1, 1),
        size_factor_weights=(1, 1, 1),
        narrow_window=0.1,
        second_full=0.3,
        eagle=0.8,
        finer_eagle=1.0,
        pools=(0.8, 1.2, 2.0, 4.0),
        shared_prefix=0.95,
    ),
)

THEME_WEIGHTS = (13, 6, 3, 4, 5, 4, 4, 5, 7, 4)


def draw_theme(choices: Choices) -> Theme:
    """What the next case is about."""
    return choices.weighted(THEMES, THEME_WEIGHTS)
