"""Random configurations over the whole legal space, and some illegal ones.

`draw` takes who chooses and a profile: `mixed` draws everything, what is catalogued as a
deviation included, but seldom; `clean` draws nothing that any catalogued deviation concerns.
"""

from collections.abc import Iterator
from math import gcd, lcm
from typing import Literal

import msgspec

from kvref.fuzz.choices import Choices
from kvref.fuzz.pools import draw_pool, whole_blocks
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    CrossGroup,
    FullGroup,
    Group,
    MambaGroup,
    MLAGroup,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)

Profile = Literal["mixed", "clean"]

MOST_DRAWN = 1000
"""So many configurations of some weights are proposed to a target that may lack them."""


def proposals(choices: Choices, profile: Profile, weights: Weights) -> Iterator[Configuration]:
    """Configurations to choose one from: of these weights, and then of any.

    A target that has little may have nothing of what the weights are about.
    """
    for tilt in (weights, DEFAULT):
        for _ in range(MOST_DRAWN):
            yield draw(choices, profile, tilt)


def draw(choices: Choices, profile: Profile, weights: Weights = DEFAULT) -> Configuration:
    """A random configuration."""
    rare = 0.0 if profile == "clean" else 1.0
    if choices.chance(weights.unusual * rare):
        return draw_unusual(choices)
    enable_caching = choices.chance(weights.caching)
    base = choices.choice(weights.block_sizes)
    count = choices.weighted(weights.group_counts, weights.group_count_weights)
    drawn = [_draw_group(choices, base, rare, weights) for _ in range(count)]
    groups = _distinct_enough(choices, drawn, weights.second_full * rare)
    if len(groups) > 1 and choices.chance(weights.twins):
        groups.append(choices.choice(groups))
    factor = 1
    if not enable_caching and choices.chance(weights.cross):
        groups.append(CrossGroup(base))
    full_like = all(isinstance(group, FullGroup | MLAGroup) for group in groups)
    if full_like and (len(groups) == 1 or not enable_caching) and choices.chance(weights.context_parallel):
        factor = choices.choice((2, 4))
    return _assemble(
        choices, groups, enable_caching=enable_caching, factor=factor, rare=rare, weights=weights
    )


def _draw_group(choices: Choices, base: int, rare: float, weights: Weights) -> Group:
    size = base * choices.weighted(weights.size_factors, weights.size_factor_weights)
    heads = choices.choice((1, 1, 1, 2))
    match choices.weighted(weights.kinds, weights.kind_weights):
        case "full":
            return FullGroup(size, heads)
        case "mla":
            return MLAGroup(size, heads)
        case "sliding":
            return SlidingGroup(size, _draw_window(choices, size, weights.narrow_window * rare), heads)
        case "sliding_mla":
            return SlidingMLAGroup(size, _draw_window(choices, size, weights.narrow_window * rare), heads)
        case "chunked":
            chunk = size * choices.choice((1, 2, 3, 5))
            if choices.chance(weights.ragged_chunk * rare):
                chunk += choices.integer(1, size)
            return ChunkedGroup(size, chunk, heads)
        case "mamba":
            mode = choices.choice(weights.mamba_modes)
            return MambaGroup(size, mode, choices.choice(weights.speculative_blocks), heads)


def _draw_window(choices: Choices, size: int, narrow: float) -> int:
    window = choices.choice((2, size - 1, size, size + 1, 2 * size, 2 * size + 1, 3 * size + 2, 9 * size))
    return 1 if choices.chance(narrow) else max(2, window)


def _distinct_enough(choices: Choices, groups: list[Group], second_full: float) -> list[Group]:
    """Mostly at most one full-like spec: two different ones are a catalogued deviation (Q-2)."""
    allowed = choices.chance(second_full)
    full_like = [group for group in groups if isinstance(group, FullGroup | MLAGroup)]
    if full_like and not allowed:
        groups = [full_like[0] if isinstance(g, FullGroup | MLAGroup) else g for g in groups]
    if len(groups) > 1 and len(set(groups)) == 1:
        groups[0] = SlidingGroup(groups[0].block_size, 2 * groups[0].block_size + 1)
        if len(set(groups)) == 1:
            groups[0] = FullGroup(groups[0].block_size)
    return groups


def _assemble(
    choices: Choices,
    groups: list[Group],
    *,
    enable_caching: bool,
    factor: int,
    rare: float,
    weights: Weights,
) -> Configuration:
    """Fit block sizes, EAGLE, retention, lengths and the pool to the groups."""
    sizes = [group.block_size for group in groups]
    lone = len(groups) == 1
    scheduler, fine = lcm(*sizes), gcd(*sizes)
    chunked = any(isinstance(group, ChunkedGroup) for group in groups)
    if chunked and enable_caching and not lone:
        # Chunked local attention is looked up at the alignment only [CHUNK-1].
        groups = [
            _resized(group, scheduler) if isinstance(group, ChunkedGroup) else group for group in groups
        ]
        sizes = [group.block_size for group in groups]
        fine = gcd(*sizes)
    if lone:
        fine = scheduler = sizes[0] * factor
        scheduler *= choices.weighted((1, 2, 3), (12, 2, 1))
    else:
        fine = choices.choice([d for d in range(1, fine + 1) if fine % d == 0][-2:])
        scheduler *= choices.weighted((1, 2), (9, 1)) if not chunked else 1
    scheduler *= factor if not lone else 1
    eagle = not chunked and choices.chance(weights.eagle)
    groups, use_eagle = _with_eagle(choices, groups, scheduler, rare, weights) if eagle else (groups, False)
    windowed = any(isinstance(group, SlidingGroup | SlidingMLAGroup) for group in groups)
    retention = None
    if windowed and choices.chance(weights.retention):
        retention = choices.choice((0, 0, scheduler, 2 * scheduler, 4 * scheduler))
    longest = choices.choice(weights.lengths) * max(scheduler, *sizes)
    longest = max(8, min(longest, 320))
    share = choices.choice(weights.budgets)
    batched = None if share is None else max(5, int(share * longest) + 1)
    if batched is not None and choices.chance(weights.whole_budget):
        batched = whole_blocks(choices.choice(groups), batched)
    return Configuration(
        groups=tuple(groups),
        num_blocks=draw_pool(choices, groups, longest, batched or longest, weights),
        max_model_len=longest,
        scheduler_block_size=scheduler,
        hash_block_size=fine,
        max_num_batched_tokens=batched,
        enable_caching=enable_caching,
        use_eagle=use_eagle,
        log_stats=choices.chance(weights.stats),
        enable_kv_cache_events=choices.chance(weights.events),
        dcp_world_size=min(factor, 2),
        pcp_world_size=max(1, factor // 2),
        retention_interval=retention,
        hash_function="sha256" if choices.chance(weights.pickled) else "sha256_cbor",
        hash_seed=str(choices.integer(0, 9)),
    )


def _resized(group: Group, size: int) -> Group:
    changes: dict[str, int] = {"block_size": size}
    if isinstance(group, ChunkedGroup):
        changes["chunk"] = group.chunk // group.block_size * size + group.chunk % group.block_size
    return msgspec.structs.replace(group, **changes)


def _with_eagle(
    choices: Choices, groups: list[Group], alignment: int, rare: float, weights: Weights
) -> tuple[list[Group], bool]:
    """EAGLE on some or all groups that may have it; rarely where it is a catalogued deviation."""
    able = [
        i
        for i, group in enumerate(groups)
        if isinstance(group, FullGroup | MLAGroup)
        or (
            isinstance(group, SlidingGroup | SlidingMLAGroup)
            and (group.block_size == alignment or choices.chance(weights.finer_eagle))
        )
    ]
    mamba = any(isinstance(group, MambaGroup) for group in groups)
    if choices.chance(weights.eagle_states * rare) or (
        not mamba and len(able) == len(groups) and choices.chance(weights.eagle_everywhere)
    ):
        return groups, True
    if not able:
        return groups, False
    marked = set(choices.sample(able, 1 if choices.chance(0.7) else len(able)))
    marked_specs = {groups[i] for i in marked}
    for i, group in enumerate(groups):
        if i in marked and group in marked_specs:
            groups[i] = msgspec.structs.replace(group, eagle=True)
    return groups, choices.chance(0.8)


def draw_unusual(choices: Choices) -> Configuration:  # noqa: C901 - a list of oddities
    """A configuration that one side, or both, may refuse."""
    size = choices.choice((2, 4))
    full = FullGroup(size)
    sliding = SlidingGroup(size, 2 * size)
    chunked = ChunkedGroup(size, 2 * size)
    groups: tuple[Group, ...]
    caching, eagle, dcp, retention = True, False, 1, None
    scheduler = fine = size
    match choices.integer(0, 10):
        case 0:
            groups = (SinkGroup(size, size * 2), *choices.choice(((), (sliding,))))
        case 1:
            groups = (full, CrossGroup(size))
        case 2:
            groups = (full, full)
        case 3:
            groups = ()
        case 4:
            groups, eagle = (chunked, *choices.choice(((), (full,)))), True
        case 5:
            groups, scheduler = (FullGroup(size * 2), chunked), size * 2
        case 6:
            any_kind: tuple[Group, ...] = (sliding, chunked, MambaGroup(size))
            groups, dcp = (choices.choice(any_kind),), 2
            scheduler = fine = size * 2
        case 7:
            groups, dcp = (full, sliding), 2
        case 8:
            groups, fine = (full, sliding), 3
        case 9:
            groups, retention = (full, *choices.choice(((), (sliding,)))), choices.choice((-size, 1, size))
        case _:
            groups, scheduler = (full, SlidingGroup(size * 2, 3 * size)), size
    return Configuration(
        groups=groups,
        num_blocks=choices.choice((12, 30)),
        max_model_len=64,
        scheduler_block_size=scheduler,
        hash_block_size=fine,
        enable_caching=caching,
        use_eagle=eagle,
        dcp_world_size=dcp,
        retention_interval=retention,
    )
