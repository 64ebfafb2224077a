"""What one picture of a manager has otherwise than the one before it, small enough to keep for every step."""

from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from invariants.view import View
from kvref.explain.pool import Contents

Splice = tuple[int, int, list[int]]
"""A place in a list, how many entries go from there, and which come in their place."""


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one picture has otherwise than the one before it.

    `blocks` are (id, users, number of its content's name or -1). `tables` are by request: splices by
    group and how many entries were offered to the cache; None for a request that holds nothing more.
    """

    blocks: list[tuple[int, int, int]] = []
    queue: list[Splice] = []
    tables: dict[str, tuple[list[list[Splice]], list[int]] | None] = {}
    reserved: list[int] | None = None


class Names:
    """Names of contents, by number."""

    def __init__(self, contents: Contents) -> None:
        self.told: list[str] = []
        self._contents = contents
        self._numbers: dict[bytes, int] = {}

    def number(self, key: bytes | None) -> int:
        """The number of a key's name, -1 for no key."""
        if key is None:
            return -1
        if key not in self._numbers:
            self._numbers[key] = len(self.told)
            self.told.append(self._contents.name(key))
        return self._numbers[key]


NOTHING = View([], [], [], [], {}, {}, [], [], 0.0, None)
"""No picture at all: what `delta` makes of it is a whole one."""


def delta(before: View, after: View, names: Names) -> Delta:
    """What `after` has otherwise than `before`."""
    was, now = (list(zip(v.ref_counts, v.keys, strict=False)) for v in (before, after))
    return Delta(
        [
            (block, new[0], names.number(new[1]))
            for block, (old, new) in enumerate(zip_longest(was, now))
            if new is not None and old != new
        ],
        queue_splices(before.free_queue, after.free_queue),
        {
            request: _rows(before, after, request)
            for request in sorted({*before.tables, *after.tables})
            if before.tables.get(request) != after.tables.get(request)
            or before.handled.get(request) != after.handled.get(request)
        },
        None if before.reserved == after.reserved else after.reserved,
    )


def _rows(before: View, after: View, request: str) -> tuple[list[list[Splice]], list[int]] | None:
    rows = after.tables.get(request)
    if rows is None:
        return None
    old = before.tables.get(request, [])
    splices = [row_splices(was or [], now) for was, now in zip_longest(old[: len(rows)], rows)]
    return splices, after.handled.get(request, [])


def row_splices(old: Sequence[int], new: Sequence[int]) -> list[Splice]:
    """What makes `new` of `old`: one splice between what both begin and end with."""
    if list(old) == list(new):
        return []
    shorter = min(len(old), len(new))
    start = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    most = shorter - start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    return [(start, len(old) - end - start, list(new[start : len(new) - end]))]


def queue_splices(old: Sequence[int], new: Sequence[int]) -> list[Splice]:
    """The same for a queue, whose members leave and come anywhere but keep their order."""
    members = set(new)
    kept = [block for block in old if block in members]
    stayed = set(kept)
    if kept != [block for block in new if block in stayed] or len(members) != len(new):
        return row_splices(old, new)
    splices: list[Splice] = []
    at = here = 0
    for block in (*kept, None):
        gone = 0
        while here + gone < len(old) and old[here + gone] != block:
            gone += 1
        come: list[int] = []
        while at + len(come) < len(new) and new[at + len(come)] != block:
            come.append(new[at + len(come)])
        if gone or come:
            splices.append((at, gone, come))
        here += gone + 1
        at += len(come) + 1
    return splices
