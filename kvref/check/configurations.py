"""What `kvref check` knows by name: each kind alone, pairs, EAGLE, retention, two block sizes, context parallelism.

A scope's name says what is checked and how: `full`, or `full/one`, is one request at a time, with two token values,
and for a lone group with evictions by hand and resets; `full/two` are two requests that share what they can, with
one token value and nothing done by hand, and for several groups only whole prompts; `full/ahead` is one request whose next step is scheduled while one runs.
Pools are the smallest in which a request can have all its tokens computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from difflib import get_close_matches
from itertools import combinations
from math import lcm
from typing import Final

from kvref.check.moves import Scope
from kvref.errors import UserError
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

KINDS: Final[dict[str, Group]] = {
    "full": FullGroup(1),
    "mla": MLAGroup(1),
    "sink": SinkGroup(1, sink=1),
    "sliding": SlidingGroup(1, window=2),
    "sliding-mla": SlidingMLAGroup(1, window=2),
    "chunked": ChunkedGroup(1, chunk=2),
    "mamba": MambaGroup(1),
    "mamba-all": MambaGroup(1, mode="all"),
    "mamba-align": MambaGroup(1, mode="align"),
    "cross": CrossGroup(1),
}
"""Each kind of attention, in the smallest blocks that show what it does."""

PAIRED: Final = ("full", "sliding", "chunked", "mamba", "mamba-align")

RULES: Final[dict[str, tuple[str, ...]]] = {
    "full": ("FULL-1", "FULL-2", "FULL-3"),
    "mla": ("FULL-1", "FULL-2", "REG-1"),
    "sink": ("SINK-1", "SINK-2"),
    "sliding": ("SWA-1", "SWA-5", "SKIP-1", "SKIP-2", "SKIP-3", "FREE-2"),
    "sliding-mla": ("SWA-1", "SWA-5", "REG-1"),
    "chunked": ("CHUNK-1", "CHUNK-2", "CHUNK-3"),
    "mamba": ("MAMBA-1", "MAMBA-2", "MAMBA-3", "MAMBA-4"),
    "mamba-all": ("MAMBA-1", "MAMBA-2", "MAMBA-3", "MAMBA-4"),
    "mamba-align": ("MAMBA-6", "MAMBA-7"),
    "cross": ("CROSS-1", "CROSS-2"),
    "eagle": ("EAGLE-1", "EAGLE-2", "EAGLE-3"),
    "retention": ("RETAIN-1", "RETAIN-3", "SWA-7"),
    "sizes": ("HASH-10", "HIT-1", "HIT-7"),
    "context-parallel": ("DCP-1",),
    "no-caching": ("CFG-2", "ALLOC-11"),
    "connector": ("BIND-8", "ALLOC-11", "ALLOC-16"),
}
"""What a part of a scope's name is about; all of them are also about the pool, the tables and the events."""


@dataclass(frozen=True)
class Size:
    """How far a check goes. None leaves it to what stands behind: another size, or the configuration."""

    blocks: int | None = None
    requests: int | None = None
    tokens: int | None = None
    letters: int | None = None
    by_hand: bool | None = None
    asynchronous: bool | None = None
    chunked_prefill: bool | None = None

    def over(self, other: "Size") -> "Size":
        """The same size, and where it says nothing, the other."""
        mine, theirs = astuple(self), astuple(other)
        return Size(*(b if a is None else a for a, b in zip(mine, theirs, strict=True)))


UNASKED: Final = Size()


@dataclass(frozen=True)
class Setup:
    """Groups and options. `sizes` goes before the usual ones: what shows all that the setup is about, and ends."""

    groups: tuple[Group, ...]
    eagle: bool = False
    drafts: int = 0
    retention: bool = False
    caching: bool = True
    events: bool = True
    context_parallel: int = 1
    connector: bool = False
    sizes: Mapping[str, Size] = field(default_factory=dict)

    @property
    def block_sizes(self) -> list[int]:
        """In tokens, context parallelism included."""
        return [group.block_size * self.context_parallel for group in self.groups]


ONE_VALUE: Final = {"one": Size(letters=1)}

LEAST: Final = {"one": Size(letters=1, by_hand=False), "two": Size(chunked_prefill=False)}
"""For a kind that is another one under another name."""

DRAFTED: Final = {
    "one": Size(tokens=4, letters=1, by_hand=False),
    "two": Size(blocks=4, chunked_prefill=False),
}
"""With three tokens no draft is ever verified, and with three blocks nothing is shared."""

SIZED: Final = {"one": Size(tokens=4, letters=1), "two": Size(tokens=4, chunked_prefill=False)}
"""A block of two tokens is full, and hit, with four."""

LOADED: Final = {"one": Size(by_hand=False), "two": Size(chunked_prefill=False)}


def _pairs() -> dict[str, Setup]:
    return {f"{one}+{other}": Setup((KINDS[one], KINDS[other])) for one, other in combinations(PAIRED, 2)}


SETUPS: Final[dict[str, Setup]] = {
    **{kind: Setup((group,), caching=kind != "cross") for kind, group in KINDS.items()},
    **{kind: Setup((KINDS[kind],), sizes=ONE_VALUE) for kind in ("sliding", "mamba-align")},
    **{kind: Setup((KINDS[kind],), sizes=LEAST) for kind in ("sliding-mla", "mamba-all")},
    **_pairs(),
    "full+full": Setup((FullGroup(1), FullGroup(1, heads=2))),
    "sliding+sliding": Setup((SlidingGroup(1, window=2), SlidingGroup(1, window=2))),
    "full+cross+no-caching": Setup((FullGroup(1), CrossGroup(1)), caching=False),
    "full+no-caching": Setup((FullGroup(1),), caching=False),
    "full+no-events": Setup((FullGroup(1),), events=False),
    "full+eagle": Setup(
        (FullGroup(1),),
        eagle=True,
        drafts=1,
        sizes={**DRAFTED, "two": Size(blocks=5, chunked_prefill=False)},
    ),
    "sliding+eagle": Setup((SlidingGroup(1, window=2),), eagle=True, drafts=1, sizes=DRAFTED),
    "full+sliding+eagle": Setup(
        (FullGroup(1), SlidingGroup(1, window=2)),
        eagle=True,
        drafts=1,
        sizes={"one": Size(tokens=4, letters=1, chunked_prefill=False)},
    ),
    "mamba+drafts": Setup(
        (MambaGroup(1, speculative_blocks=1),),
        drafts=1,
        sizes={
            "one": Size(tokens=4, blocks=5, letters=1, by_hand=False),
            "two": Size(blocks=5, chunked_prefill=False),
        },
    ),
    "mamba-align+drafts": Setup(
        (MambaGroup(1, mode="align", speculative_blocks=1),), drafts=1, sizes=DRAFTED
    ),
    "sliding+retention": Setup(
        (SlidingGroup(1, window=2),),
        retention=True,
        sizes={"one": Size(tokens=4, letters=1), "two": Size(tokens=4, blocks=2)},
    ),
    "full+sliding+sizes": Setup(
        (FullGroup(2), SlidingGroup(1, window=2)),
        sizes={**SIZED, "two": Size(tokens=4, blocks=4, chunked_prefill=False)},
    ),
    "full+full+sizes": Setup((FullGroup(2), FullGroup(1)), sizes=SIZED),
    "full+context-parallel": Setup((FullGroup(1),), context_parallel=2, sizes=SIZED),
    "full+connector": Setup((FullGroup(1),), connector=True, sizes=LOADED),
    "full+sliding+connector": Setup(
        (FullGroup(1), SlidingGroup(1, window=2)), connector=True, sizes=ONE_VALUE
    ),
    "mamba+connector": Setup((MambaGroup(1),), connector=True, sizes=LOADED),
}
"""Configurations by name."""


SIZES: Final[dict[str, Size]] = {
    "one": Size(requests=1, letters=2, asynchronous=False),
    "two": Size(requests=2, letters=1, by_hand=False, asynchronous=False),
    "ahead": Size(requests=1, letters=1, by_hand=False, asynchronous=True),
}
"""By the name behind the stroke. `one` is meant where none is given."""

FAST: Final = (
    *("full", "full/two", "full+eagle", "chunked/two", "mamba/two"),
    *("full+sliding", "full+mamba", "full+cross+no-caching"),
)
"""What is checked unless something else is asked for."""

TOO_WIDE: Final = ("sliding+eagle/two", "full+sliding+eagle/two", "full+sliding+connector/two")
"""What has more states than the long run has time for, in a pool where two requests share what they read."""

AHEAD: Final = ("full", "sliding", "chunked", "mamba", "mamba-align", "full+sliding", "full+eagle")

ALL: Final = tuple(
    name
    for setup in SETUPS
    for size in SIZES
    if (size != "ahead" or setup in AHEAD) and (name := f"{setup}/{size}") not in TOO_WIDE
)
"""The long run."""


def scope_called(name: str, asked: Size = UNASKED) -> Scope:
    """A scope by its name; what is asked for goes before its own size. Raises UserError if there is none."""
    setup_name, _, size_name = name.partition("/")
    if setup_name not in SETUPS or (size_name or "one") not in SIZES:
        near = get_close_matches(name, [*SETUPS, *ALL], n=4)
        told = f"near it are {', '.join(near)}" if near else f"choose one of {', '.join(SETUPS)}"
        raise UserError(f"no configuration is called {name!r}: {told}")
    setup, usual = SETUPS[setup_name], SIZES[size_name or "one"]
    return _scope(setup, asked.over(setup.sizes.get(size_name or "one", UNASKED)).over(usual))


def _scope(setup: Setup, size: Size) -> Scope:
    sizes = setup.block_sizes
    unit = lcm(*sizes)
    requests = size.requests or 1
    drafts = setup.drafts
    sinks = sum(group.sink // group.block_size for group in setup.groups if isinstance(group, SinkGroup))
    tokens = 2 * max(sizes) + 1 if size.tokens is None else size.tokens
    held = sum(-(-(tokens - 1) // one) + drafts for one in sizes)
    blocks = sinks + held if size.blocks is None else size.blocks
    configuration = Configuration(
        setup.groups,
        num_blocks=blocks + 1,
        max_model_len=tokens,
        scheduler_block_size=unit,
        hash_block_size=min(sizes),
        enable_caching=setup.caching,
        enable_kv_cache_events=setup.events,
        use_eagle=setup.eagle,
        retention_interval=2 * unit if setup.retention else None,
        dcp_world_size=setup.context_parallel,
    )
    return Scope(
        configuration,
        requests=requests,
        tokens=tokens,
        letters=size.letters or 1,
        drafts=drafts,
        by_hand=len(sizes) == 1 if size.by_hand is None else size.by_hand,
        connector=setup.connector,
        asynchronous=bool(size.asynchronous),
        chunked_prefill=len(sizes) == 1 or requests == 1
        if size.chunked_prefill is None
        else size.chunked_prefill,
    )


def rules_of(name: str) -> tuple[str, ...]:
    """The ids of the rules that a scope is about, besides those of every configuration."""
    parts = name.partition("/")[0].split("+")
    return tuple(dict.fromkeys(rule for part in parts for rule in RULES.get(part, ())))


def chosen(names: Sequence[str], *, everything: bool) -> Sequence[str]:
    """The names given, or all that there are, or a few of them."""
    return names or (ALL if everything else FAST)
