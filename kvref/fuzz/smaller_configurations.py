"""Smaller configurations than a given one, nearest to nothing first.

A smaller configuration must not be odd in a way that the given one is not: what it shows would be
another finding.
"""

from collections.abc import Iterator
from math import gcd, lcm
from typing import Any

import msgspec

from kvref.operations import (
    ChunkedGroup,
    Configuration,
    FullGroup,
    Group,
    MambaGroup,
    MLAGroup,
    SlidingGroup,
    SlidingMLAGroup,
)

replace = msgspec.structs.replace

PLAIN: dict[str, Any] = {
    "max_num_batched_tokens": None,
    "use_eagle": False,
    "log_stats": False,
    "enable_kv_cache_events": False,
    "retention_interval": None,
    "hash_function": "sha256_cbor",
    "hash_seed": "0",
}
"""What a configuration is without its features."""


def size_of(configuration: Configuration) -> tuple[int, ...]:
    """How large a configuration is: first by its groups, then by its features, then by its numbers."""
    groups = configuration.groups
    odd = sum(getattr(configuration, name) != value for name, value in PLAIN.items())
    odd += configuration.dcp_world_size * configuration.pcp_world_size
    odd += sum(group.heads > 1 for group in groups) + sum(group.eagle for group in groups)
    numbers = sum(
        value for group in groups for value in msgspec.structs.astuple(group) if isinstance(value, int)
    )
    modes = sum(("none", "all", "align").index(g.mode) for g in groups if isinstance(g, MambaGroup))
    rest = configuration.num_blocks + configuration.max_model_len + configuration.scheduler_block_size
    return (len(groups), odd, numbers + modes, rest, -configuration.hash_block_size)


def smaller(configuration: Configuration) -> Iterator[Configuration]:
    """Configurations to be tried instead."""
    known = oddities(configuration)
    for one in _candidates(configuration):
        if one != configuration and oddities(one) <= known:
            yield one


def divided(configuration: Configuration, divisor: int) -> Iterator[Configuration]:
    """All block sizes and spans divided, if that can be done."""
    groups = configuration.groups
    if all(group.block_size % divisor == 0 for group in groups):
        yield _fitted(configuration, tuple(_resized(g, g.block_size // divisor, divisor) for g in groups))


def oddities(configuration: Configuration) -> set[str]:
    """What most users' configurations are not."""
    groups, scheduler = configuration.groups, configuration.scheduler_block_size
    full = {replace(g, eagle=False) for g in groups if isinstance(g, FullGroup | MLAGroup)}
    chunked = [g for g in groups if isinstance(g, ChunkedGroup)]
    marked = [g for g in groups if g.eagle]
    drafting = marked or (groups if configuration.use_eagle else ())
    sizes = [group.block_size for group in groups]
    factor = configuration.dcp_world_size * configuration.pcp_world_size
    found = {
        "no group": not groups,
        "two full specs": len(full) > 1,
        "ragged chunk": any(g.chunk % g.block_size for g in chunked),
        "chunk off the alignment": len(groups) > 1 and any(g.block_size != scheduler for g in chunked),
        "window of one": any(g.window == 1 for g in groups if isinstance(g, SlidingGroup | SlidingMLAGroup)),
        "recurrent drafts": any(isinstance(g, MambaGroup) for g in drafting),
        "chunked drafts": any(isinstance(g, ChunkedGroup) for g in drafting),
        "marks without EAGLE": bool(marked) and not configuration.use_eagle,
        "ragged alignment": bool(groups) and scheduler % (lcm(*sizes) * factor) != 0,
        "ragged hashes": bool(groups) and gcd(*sizes) * factor % configuration.hash_block_size != 0,
        "ragged retention": (configuration.retention_interval or 0) % scheduler != 0,
    }
    return {name for name, is_so in found.items() if is_so}


def _candidates(configuration: Configuration) -> Iterator[Configuration]:
    groups = configuration.groups
    for at in range(len(groups)):
        yield _fitted(configuration, groups[:at] + groups[at + 1 :])
    plain = tuple(replace(group, eagle=False) for group in groups)
    yield replace(configuration, groups=plain, use_eagle=False)
    yield replace(configuration, groups=plain)
    for name, value in PLAIN.items():
        yield replace(configuration, **{name: value})
    alone = replace(configuration, dcp_world_size=1, pcp_world_size=1)
    yield alone
    yield _fitted(alone, groups)
    yield _fitted(configuration, tuple(replace(group, heads=1) for group in groups))
    yield from _other_sizes(configuration)
    for at, group in enumerate(groups):
        for one in _smaller_groups(group):
            yield replace(configuration, groups=(*groups[:at], one, *groups[at + 1 :]))
    yield _fitted(configuration, groups)
    for name in ("num_blocks", "max_model_len", "max_num_batched_tokens"):
        for value in _lower(getattr(configuration, name) or 0, 1):
            yield replace(configuration, **{name: value})


def _other_sizes(configuration: Configuration) -> Iterator[Configuration]:
    """All groups of one block size get a smaller one; all of them, or some."""
    groups = configuration.groups
    for divisor in (8, 4, 3, 2):
        yield from divided(configuration, divisor)
    for size in sorted({group.block_size for group in groups}):
        for less in _lower(size, 1):
            for divisor in (1, 2):
                yield _fitted(
                    configuration,
                    tuple(_resized(g, less, divisor) if g.block_size == size else g for g in groups),
                )


def _resized(group: Group, size: int, divisor: int) -> Group:
    """Spans of tokens are divided as well; chunks stay as many blocks."""
    match group:
        case ChunkedGroup(chunk=chunk, block_size=before):
            return replace(
                group, block_size=size, chunk=max(1, chunk // before * size + min(chunk % before, size - 1))
            )
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            return replace(group, block_size=size, window=max(1, -(-window // divisor)))
        case _:
            return replace(group, block_size=size)


def _smaller_groups(group: Group) -> Iterator[Group]:
    match group:
        case ChunkedGroup(chunk=chunk):
            for less in _lower(chunk, 1):
                yield replace(group, chunk=less)
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            for less in _lower(window, 1):
                yield replace(group, window=less)
        case MambaGroup(speculative_blocks=speculative):
            yield replace(group, mode="none")
            yield replace(group, mode="all")
            for less in _lower(speculative, 0):
                yield replace(group, speculative_blocks=less)
        case _:
            pass


def _fitted(configuration: Configuration, groups: tuple[Group, ...]) -> Configuration:
    """These groups, at the alignment and with the hashes that they ask for [CFG-3]."""
    if not groups:
        return replace(configuration, groups=groups)
    factor = configuration.dcp_world_size * configuration.pcp_world_size
    sizes = [group.block_size for group in groups]
    was_marked = any(group.eagle for group in configuration.groups)
    is_marked = any(group.eagle for group in groups)
    return replace(
        configuration,
        groups=groups,
        scheduler_block_size=lcm(*sizes) * factor,
        hash_block_size=gcd(*sizes) * (factor if len(groups) == 1 else 1),
        # EAGLE without marks concerns every group.
        use_eagle=configuration.use_eagle and (is_marked or not was_marked),
        retention_interval=configuration.retention_interval and lcm(*sizes) * factor,
    )


def _lower(value: int, least: int) -> list[int]:
    """Some smaller numbers, the least first."""
    wanted = (least, least + 1, value // 4, value // 2, value - 2, value - 1)
    return sorted({one for one in wanted if least <= one < value})
