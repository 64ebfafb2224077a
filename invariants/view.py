"""The frozen picture of a manager, which invariants and comparisons look at.

Any manager can give it, in any language: it names blocks, requests and groups, and nothing of how
they are stored. Accidents of a manager's data structures are left out [OBS-9]: the null block's
count, empty tables (Q-15, Q-46, Q-47), the order of keys in the prefix map.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Part = Literal[
    "ref_counts",
    "keys",
    "free_queue",
    "prefix_map",
    "tables",
    "handled",
    "reserved",
    "step_keys",
    "usage",
    "stats",
]
"""A field of a view."""


@dataclass(frozen=True, slots=True)
class View:
    """A manager's observable state [OBS-2 to OBS-5, OBS-7, OBS-8].

    Blocks are named by their index in `ref_counts` and `keys`; block 0 is the null block, with
    count 0 and no key. `free_queue` is in order of reuse. `prefix_map` lists the blocks that can be
    found under each key, oldest first. `tables[r][g]` is request r's block table in group g, of
    which the first `handled[r][g]` entries were offered to the prefix cache. `reserved` blocks are
    held for good. `step_keys` are the states that the current step has yet to compute.
    """

    ref_counts: list[int]
    keys: list[bytes | None]
    free_queue: list[int]
    prefix_map: list[tuple[bytes, list[int]]]
    tables: dict[str, list[list[int]]]
    handled: dict[str, list[int]]
    reserved: list[int]
    step_keys: list[bytes]
    usage: float
    stats: tuple[bool, int, int, int, int, int, int] | None


PARTS: tuple[Part, ...] = get_args(Part)


def changed(before: View, after: View, among: tuple[Part, ...] = PARTS) -> tuple[Part, ...]:
    """The parts that differ. Views mostly share those that do not, which then need no closer look."""
    if before is after:
        return ()
    return tuple(
        [
            part
            for part in among
            if (old := getattr(before, part)) is not (new := getattr(after, part)) and old != new
        ]
    )


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold: its id, and what a person needs to know to see why."""

    invariant: str
    message: str
