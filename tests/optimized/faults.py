"""Faults of the optimized manager, by name: a place, what is replaced there, and by what."""

from collections.abc import Callable
from typing import Any

from kvref.optimized.free_queue import FreeQueue, Stretch
from kvref.optimized.groups import Group, SlidingGroup
from kvref.optimized.prefix_map import PrefixMap
from kvref.optimized.retention import Retention
from kvref.optimized.tables import Tables

Faulty = Callable[[Any], Any]


def quiet_for_too_long(true: Any) -> Any:
    def note(self: Tables) -> None:
        true(self)
        self.quiet += 1

    return note


def queued_in_reverse(true: Any) -> Any:
    def append(self: FreeQueue, stretch: Stretch) -> None:
        stretch.blocks.reverse()
        true(self, stretch)

    return append


FAULTS: dict[str, tuple[type, str, Faulty]] = {
    "freed blocks are queued in reverse": (FreeQueue, "append", queued_in_reverse),
    "scratch blocks go to the back": (
        FreeQueue,
        "prepend",
        lambda _: lambda self, stretch: self.append(stretch),
    ),
    "a hit block stays in the queue": (FreeQueue, "remove", lambda _: lambda *_: None),
    "a step is quiet for a token too long": (Tables, "_note_quiet", quiet_for_too_long),
    "a window is a token too short": (
        SlidingGroup,
        "skipped_tokens",
        lambda true: lambda self, computed: true(self, computed + 1),
    ),
    "one block too many is cached": (
        Group,
        "cacheable_blocks",
        lambda true: lambda self, tokens: true(self, tokens + 1),
    ),
    "a duplicate is forgotten": (
        PrefixMap,
        "add",
        lambda _: lambda self, names, blocks: self.oldest.update(zip(names, blocks, strict=True)) or 0,
    ),
    "retention forgets the prompt's end": (
        Retention,
        "kept",
        lambda true: lambda self, start, end, _: true(self, start, end, 0),
    ),
}
