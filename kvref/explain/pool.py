"""What a picture shows of the pool: each block's state, what its content is, and what changed."""

from dataclasses import dataclass, field
from enum import Enum

from invariants.view import View
from kvref.explain.sentences import DASH, counted, listed
from kvref.operations import Configuration

SHORT = 4
"""So many bytes of a key are told where it is not known whose content it names."""


class State(Enum):
    """What a block is to the pool."""

    NULL = "null"
    RESERVED = "reserved"
    FREE = "free"
    CACHED = "cached"
    USED = "used"
    SHARED = "shared"
    LOST = "lost"


MEANING = {
    State.FREE: "free, without content",
    State.CACHED: "free, its content can be found",
    State.USED: "held by one table entry",
    State.SHARED: "held by several",
    State.NULL: "null: stands for nothing",
    State.RESERVED: "set aside for a sink",
    State.LOST: "lost: not held, and not free",
}
"""Each state in a few words, in the order of a legend."""


def states(view: View) -> list[State]:
    """Every block's state, by its id [INV-1]."""
    free, reserved = set(view.free_queue), set(view.reserved)

    def state(block: int) -> State:
        if block == 0:
            return State.NULL
        if block in reserved:
            return State.RESERVED
        if view.ref_counts[block]:
            return State.SHARED if view.ref_counts[block] > 1 else State.USED
        if block not in free:
            return State.LOST
        return State.FREE if view.keys[block] is None else State.CACHED

    return [state(block) for block in range(min(len(view.ref_counts), len(view.keys)))]


@dataclass
class Contents:
    """Names for keys: the tokens that were first seen under each, and whose they were."""

    configuration: Configuration
    names: dict[bytes, str] = field(default_factory=dict)

    def learn(self, view: View) -> None:
        """Name the keys that are new in `view`, by the tables that hold their blocks."""
        new = {block: key for block, key in enumerate(view.keys) if key is not None and key not in self.names}
        if not new:
            return
        for request, rows in view.tables.items():
            for group, row in enumerate(rows[: len(self.configuration.groups)]):
                for index, block in enumerate(row):
                    if block in new:
                        self.names.setdefault(new[block], self._tokens(request, group, index))

    def name(self, key: bytes) -> str:
        """What a key stands for, as far as it was seen."""
        return self.names.get(key) or f"key {key[:SHORT].hex()}…"

    def named(self, text: str) -> str:
        """A text with names instead of keys, whole or in the short form of `kvref.compare`."""
        for key, name in self.names.items():
            text = text.replace(key.hex(), f"({name})").replace(
                f"{key[:SHORT].hex()}…{key[-SHORT:].hex()}", f"({name})"
            )
        return text

    def _tokens(self, request: str, group: int, index: int) -> str:
        c = self.configuration
        size = c.groups[group].block_size * c.dcp_world_size * c.pcp_world_size
        first, last = index * size, (index + 1) * size - 1
        tokens = f"token {first}" if size == 1 else f"tokens {first}{DASH}{last}"
        return f"{tokens} of {request}" + (f", group {group}" if len(c.groups) > 1 else "")


def changes(before: View, after: View) -> list[str]:
    """What an operation did to the pool, in words."""
    was, now = set(before.free_queue), set(after.free_queue)
    shared = range(min(len(before.keys), len(after.keys)))
    keyed = [b for b in shared if after.keys[b] is not None and before.keys[b] != after.keys[b]]
    bare = [b for b in shared if before.keys[b] is not None and after.keys[b] is None]
    joined = [
        b
        for b in range(min(len(before.ref_counts), len(after.ref_counts)))
        if after.ref_counts[b] > max(before.ref_counts[b], 1)
    ]
    found = (
        ("left the queue", [b for b in before.free_queue if b not in now]),
        ("held by one more", joined),
        ("back in the queue", [b for b in after.free_queue if b not in was]),
        ("content cached", keyed),
        ("content forgotten", bare),
    )
    told = [f"{what}: {listed(blocks)}" for what, blocks in found if blocks]
    if before.step_keys != after.step_keys:
        left = counted(len(after.step_keys), "state") if after.step_keys else "no state"
        told.append(f"{left} still to be computed by this step")
    return told
