"""Random configurations over the whole legal space, and some illegal ones.

`draw` takes a seeded generator and a profile: `mixed` draws everything, what is catalogued as a
deviation included, but seldom; `clean` draws nothing that any catalogued deviation concerns.
"""

from math import gcd, lcm
from random import Random
from typing import Literal

import msgspec

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

BLOCK_SIZES = (1, 2, 2, 3, 4, 4, 4, 8, 16)
MAX_POOL = 256


def chance(rng: Random, probability: float) -> bool:
    """True with this probability."""
    return rng.random() < probability


def draw(rng: Random, profile: Profile) -> Configuration:
    """A random configuration."""
    rare = 0.0 if profile == "clean" else 1.0
    if chance(rng, 0.03 * rare):
        return draw_unusual(rng)
    enable_caching = chance(rng, 0.9)
    base = rng.choice(BLOCK_SIZES)
    count = rng.choices((1, 2, 3, 4), (5, 6, 3, 2))[0]
    groups = _distinct_enough(rng, profile, [_draw_group(rng, base, rare) for _ in range(count)])
    factor = 1
    if not enable_caching and chance(rng, 0.15):
        groups.append(CrossGroup(base))
    full_like = all(isinstance(group, FullGroup | MLAGroup) for group in groups)
    if full_like and (len(groups) == 1 or not enable_caching) and chance(rng, 0.25):
        factor = rng.choice((2, 4))
    return _assemble(rng, groups, enable_caching=enable_caching, factor=factor, rare=rare)


def _draw_group(rng: Random, base: int, rare: float) -> Group:
    size = base * rng.choices((1, 2, 4), (6, 3, 1))[0]
    heads = rng.choice((1, 1, 1, 2))
    kind = rng.choices(("full", "mla", "sliding", "sliding_mla", "chunked", "mamba"), (6, 2, 6, 2, 3, 5))[0]
    match kind:
        case "full":
            return FullGroup(size, heads)
        case "mla":
            return MLAGroup(size, heads)
        case "sliding" | "sliding_mla":
            window = rng.choice((2, size - 1, size, size + 1, 2 * size, 2 * size + 1, 3 * size + 2, 9 * size))
            window = max(2, window)
            if chance(rng, 0.01 * rare):
                window = 1
            return (
                SlidingGroup(size, window, heads)
                if kind == "sliding"
                else SlidingMLAGroup(size, window, heads)
            )
        case "chunked":
            chunk = size * rng.choice((1, 2, 3, 5))
            if chance(rng, 0.02 * rare):
                chunk += rng.randint(1, size)
            return ChunkedGroup(size, chunk, heads)
        case _:
            mode: Literal["none", "all", "align"] = rng.choice(("none", "all", "align", "align"))
            return MambaGroup(size, mode, rng.choice((0, 0, 1, 2, 3)), heads)


def _distinct_enough(rng: Random, profile: Profile, groups: list[Group]) -> list[Group]:
    """Mostly at most one full-like spec: two different ones are a catalogued deviation (Q-2)."""
    allowed = profile == "mixed" and chance(rng, 0.05)
    full_like = [group for group in groups if isinstance(group, FullGroup | MLAGroup)]
    if full_like and not allowed:
        groups = [full_like[0] if isinstance(g, FullGroup | MLAGroup) else g for g in groups]
    if len(groups) > 1 and len(set(groups)) == 1:
        groups[0] = SlidingGroup(groups[0].block_size, 2 * groups[0].block_size + 1)
        if len(set(groups)) == 1:
            groups[0] = FullGroup(groups[0].block_size)
    return groups


def _assemble(
    rng: Random, groups: list[Group], *, enable_caching: bool, factor: int, rare: float
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
        scheduler *= rng.choices((1, 2, 3), (12, 2, 1))[0]
    else:
        fine = rng.choice([d for d in range(1, fine + 1) if fine % d == 0][-2:])
        scheduler *= rng.choices((1, 2), (9, 1))[0] if not chunked else 1
    scheduler *= factor if not lone else 1
    groups, use_eagle = _with_eagle(rng, groups, scheduler, chunked=chunked, rare=rare)
    windowed = any(isinstance(group, SlidingGroup | SlidingMLAGroup) for group in groups)
    retention = None
    if windowed and chance(rng, 0.35):
        retention = rng.choice((0, 0, scheduler, 2 * scheduler, 4 * scheduler))
    longest = rng.choice((6, 10, 16, 24)) * max(scheduler, *sizes)
    longest = max(8, min(longest, 320))
    batched = rng.choice((None, longest // 2 + 1, longest // 4 + 2, longest, 5))
    need = sum(-(-longest // size) for size in sizes)
    blocks = int(need * rng.choice((0.3, 0.5, 0.8, 1.2, 2.0, 4.0))) + rng.randint(2, 8)
    return Configuration(
        groups=tuple(groups),
        num_blocks=min(blocks, MAX_POOL),
        max_model_len=longest,
        scheduler_block_size=scheduler,
        hash_block_size=fine,
        max_num_batched_tokens=batched,
        enable_caching=enable_caching,
        use_eagle=use_eagle,
        log_stats=chance(rng, 0.8),
        enable_kv_cache_events=chance(rng, 0.75),
        dcp_world_size=min(factor, 2),
        pcp_world_size=max(1, factor // 2),
        retention_interval=retention,
        hash_function=rng.choice(("sha256_cbor", "sha256_cbor", "sha256_cbor", "sha256")),
        hash_seed=str(rng.randint(0, 9)),
    )


def _resized(group: Group, size: int) -> Group:
    changes: dict[str, int] = {"block_size": size}
    if isinstance(group, ChunkedGroup):
        changes["chunk"] = group.chunk // group.block_size * size + group.chunk % group.block_size
    return msgspec.structs.replace(group, **changes)


def _with_eagle(
    rng: Random, groups: list[Group], alignment: int, *, chunked: bool, rare: float
) -> tuple[list[Group], bool]:
    """EAGLE on none, some or all groups; rarely where it is a catalogued deviation."""
    if chunked or not chance(rng, 0.35):
        return groups, False
    able = [
        i
        for i, group in enumerate(groups)
        if isinstance(group, FullGroup | MLAGroup)
        or (
            isinstance(group, SlidingGroup | SlidingMLAGroup)
            and (group.block_size == alignment or chance(rng, 0.3))
        )
    ]
    mamba = any(isinstance(group, MambaGroup) for group in groups)
    if chance(rng, 0.1 * rare) or (not mamba and len(able) == len(groups) and chance(rng, 0.4)):
        return groups, True
    if not able:
        return groups, False
    marked = set(rng.sample(able, 1 if chance(rng, 0.7) else len(able)))
    marked_specs = {groups[i] for i in marked}
    for i, group in enumerate(groups):
        if i in marked and group in marked_specs:
            groups[i] = msgspec.structs.replace(group, eagle=True)
    return groups, chance(rng, 0.8)


def draw_unusual(rng: Random) -> Configuration:  # noqa: C901 - a list of oddities
    """A configuration that one side, or both, may refuse."""
    size = rng.choice((2, 4))
    full = FullGroup(size)
    sliding = SlidingGroup(size, 2 * size)
    chunked = ChunkedGroup(size, 2 * size)
    groups: tuple[Group, ...]
    caching, eagle, dcp, retention = True, False, 1, None
    scheduler = fine = size
    match rng.randrange(11):
        case 0:
            groups = (SinkGroup(size, size * 2), *rng.choice(((), (sliding,))))
        case 1:
            groups = (full, CrossGroup(size))
        case 2:
            groups = (full, full)
        case 3:
            groups = ()
        case 4:
            groups, eagle = (chunked, *rng.choice(((), (full,)))), True
        case 5:
            groups, scheduler = (FullGroup(size * 2), chunked), size * 2
        case 6:
            groups, dcp = (rng.choice((sliding, chunked, MambaGroup(size))),), 2
            scheduler = fine = size * 2
        case 7:
            groups, dcp = (full, sliding), 2
        case 8:
            groups, fine = (full, sliding), 3
        case 9:
            groups, retention = (full, *rng.choice(((), (sliding,)))), rng.choice((-size, 1, size))
        case _:
            groups, scheduler = (full, SlidingGroup(size * 2, 3 * size)), size
    return Configuration(
        groups=groups,
        num_blocks=rng.choice((12, 30)),
        max_model_len=64,
        scheduler_block_size=scheduler,
        hash_block_size=fine,
        enable_caching=caching,
        use_eagle=eagle,
        dcp_world_size=dcp,
        retention_interval=retention,
    )
