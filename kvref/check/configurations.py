"""The configurations that `kvref check` knows by name: each kind alone, pairs, EAGLE, retention, two block sizes."""

from collections.abc import Sequence
from math import lcm

from kvref.check.moves import Scope
from kvref.errors import UserError
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    FullGroup,
    Group,
    MambaGroup,
    MLAGroup,
    SlidingGroup,
)

GROUPS: dict[str, tuple[Group, ...]] = {
    "full": (FullGroup(1),),
    "mla": (MLAGroup(1),),
    "sliding": (SlidingGroup(1, window=2),),
    "chunked": (ChunkedGroup(1, chunk=2),),
    "mamba": (MambaGroup(1),),
    "mamba-all": (MambaGroup(1, mode="all"),),
    "mamba-align": (MambaGroup(1, mode="align"),),
    "full+sliding": (FullGroup(1), SlidingGroup(1, window=2)),
    "full+chunked": (FullGroup(1), ChunkedGroup(1, chunk=2)),
    "full+mamba": (FullGroup(1), MambaGroup(1)),
    "full+mamba-align": (FullGroup(1), MambaGroup(1, mode="align")),
    "sliding+chunked": (SlidingGroup(1, window=2), ChunkedGroup(1, chunk=2)),
    "full+full": (FullGroup(1), FullGroup(1, heads=2)),
    "two-sizes": (FullGroup(2), SlidingGroup(1, window=2)),
    "eagle": (FullGroup(1),),
    "eagle-sliding": (SlidingGroup(1, window=2),),
    "retention": (SlidingGroup(1, window=1),),
}
"""Groups by name, in the smallest blocks that show what a kind does."""

FAST = ("full", "sliding", "chunked", "full+mamba")
"""What is checked unless something else is asked for."""


def scope(name: str, *, blocks: int, requests: int, tokens: int, letters: int, by_hand: bool) -> Scope:
    """A named configuration with `blocks` usable blocks, and how far to go. Raises UserError for another name."""
    if name not in GROUPS:
        raise UserError(f"no configuration is called {name!r}: choose one of {', '.join(GROUPS)}")
    groups = GROUPS[name]
    sizes = [group.block_size for group in groups]
    eagle = name.startswith("eagle")
    configuration = Configuration(
        groups,
        num_blocks=blocks + 1,
        max_model_len=tokens + 1,
        scheduler_block_size=lcm(*sizes),
        hash_block_size=min(sizes),
        use_eagle=eagle,
        log_stats=False,
        retention_interval=2 * lcm(*sizes) if name == "retention" else None,
    )
    return Scope(configuration, requests, tokens, letters, drafts=int(eagle), by_hand=by_hand)


def named(names: Sequence[str]) -> Sequence[str]:
    """The names given, or a few of them."""
    return names or FAST
