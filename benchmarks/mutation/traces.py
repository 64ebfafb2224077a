"""Traces that the fuzzer draws seldom or never."""

from dataclasses import replace

import msgspec

from kvref.errors import ConfigurationError
from kvref.fuzz import generate
from kvref.fuzz.caller import Caller, CaseOver
from kvref.fuzz.choices import Choices
from kvref.fuzz.configurations import draw
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.weights import DEFAULT, MambaMode, Weights
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    CrossGroup,
    FullGroup,
    Group,
    MambaGroup,
    Observation,
    Operation,
    SlidingGroup,
    Trace,
)
from kvref.targets.picture import Opener

LENGTH = 60
SHORT = 24

LARGE_BLOCKS = 400
LARGE_TOKENS = 700
"""Beyond 256, from where on two integers that are equal need not be one object in CPython."""

BUSY = replace(
    DEFAULT,
    arrivals=(1, 1, 2),
    answers=(1, 4),
    chatter=(0.05, 0.3),
    shared_prefix=0.9,
    skip_reading=0.2,
    aborts=0.1,
    preempts=0.1,
    connector=0.6,
)
"""Requests come and go, what is there is cached once more, and much is evicted."""


def large(choices: Choices) -> Configuration:
    """A larger pool than the fuzzer's, for longer prompts."""
    if choices.chance(0.5):
        group = FullGroup(1) if choices.chance(0.5) else SlidingGroup(1, 300)
        return Configuration((group,), 2 * LARGE_BLOCKS, LARGE_TOKENS, 1, 1)
    return msgspec.structs.replace(
        draw(choices, "mixed"), num_blocks=LARGE_BLOCKS, max_model_len=LARGE_TOKENS
    )


def crowded(choices: Choices) -> Configuration:
    """Prompts of many blocks in a pool for few prompts."""
    size = choices.choice((1, 1, 2))
    full, window = (
        FullGroup(size),
        SlidingGroup(size, size * choices.choice((2, 4, 9)) + choices.integer(0, 1)),
    )
    coarse, eagle = FullGroup(2 * size), FullGroup(size, eagle=True)
    groups: tuple[Group, ...] = choices.choice(
        (
            (full,),
            (full,),
            (eagle,),
            (window,),
            (full, window, window),
            (full, full, window),
            (coarse, window),
            (full, window, MambaGroup(size, "align")),
        )
    )
    entries = choices.choice((32, 32, 160))
    blocks = choices.integer(entries // 2, 2 * entries) * len(groups)
    scheduler = max(group.block_size for group in groups)
    events = choices.chance(0.5)
    return Configuration(groups, blocks, entries * size, scheduler, size, enable_kv_cache_events=events)


def gated(choices: Choices) -> Configuration:
    """Windows and chunks of any length, in steps that are short for the prompts."""
    size = choices.choice((1, 1, 2, 3, 4, 5, 7))
    window, chunk = SlidingGroup(size, choices.integer(2, 20)), ChunkedGroup(size, choices.integer(1, 40))
    groups: tuple[Group, ...] = choices.choice(
        (
            (window,),
            (chunk,),
            (chunk, ChunkedGroup(size, chunk.chunk + 1)),
            (FullGroup(size), window),
            (window, SlidingGroup(size, 3 * size)),
            (FullGroup(size), CrossGroup(size)),
        )
    )
    return Configuration(
        groups,
        choices.integer(20, 60),
        choices.choice((48, 90)),
        size,
        size,
        max_num_batched_tokens=choices.integer(1, 12),
        enable_caching=not isinstance(groups[-1], CrossGroup),
    )


def thinned(choices: Choices) -> Configuration:
    """Windows of which only tails are kept, with and without EAGLE."""
    size, factor = choices.choice((1, 2)), choices.choice((2, 3, 4))
    window = SlidingGroup(size, choices.integer(2, 4 * size), eagle=choices.chance(0.6))
    # Groups with one spec share the EAGLE bit: it is enough that one of them is marked [CFG-6].
    sister = msgspec.structs.replace(window, eagle=False)
    coarse = size * factor
    return Configuration(
        (FullGroup(coarse), *choices.choice(((window,), (sister, window)))),
        choices.integer(40, 120),
        24 * coarse,
        coarse,
        size,
        retention_interval=choices.choice((None, 0, coarse, 2 * coarse, 3 * coarse)),
        use_eagle=window.eagle,
    )


def recurrent(choices: Choices) -> Configuration:
    """Groups of one spec, most of them with states; all modes, with and without drafts."""
    size = choices.choice((1, 2, 3, 4))
    modes: tuple[MambaMode, ...] = ("align", "align", "all", "none")
    mamba = MambaGroup(size, choices.choice(modes), choices.choice((0, 0, 1, 2, 3)))
    window = SlidingGroup(size, choices.integer(2, 20))
    groups: tuple[Group, ...] = choices.choice(
        (
            (mamba,),
            (mamba, window),
            (mamba, mamba, window),
            (mamba, mamba, FullGroup(size)),
            (window, window, mamba),
        )
    )
    blocks = choices.integer(10, 30) * len(groups)
    return Configuration(groups, blocks, 24 * size, size, size, enable_kv_cache_events=True)


def played(
    opener: Opener,
    choices: Choices,
    configuration: Configuration,
    weights: Weights = DEFAULT,
    length: int = LENGTH,
) -> Trace:
    """What the fuzzer's scheduler does with this configuration."""
    try:
        session = opener(configuration)
    except ConfigurationError:
        return Trace(configuration, ())

    def apply(operation: Operation) -> Observation:
        observation = session.apply(operation)
        if observation.error is not None:
            raise CaseOver
        return observation

    habits = draw_habits(choices, configuration, weights)
    caller = Caller(
        choices, configuration, habits, apply, lambda _: False, length, careful=True, weights=weights
    )
    return Trace(configuration, tuple(generate.play(caller)))
