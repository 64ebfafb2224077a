"""Runs: which blocks of a group follow one another, so that a long hit is a slice.

A hash names all hashes before it [HASH-1]. So whoever finds a run's block under a hash need not look up
the hashes before: while the run vouches for their blocks, they are what the lookups would find.
"""

from typing import Final, final

STRIDE: Final = 4
"""The factor by which the search for the end of a hit speeds up."""


@final
class Run:
    """Blocks for the table entries from `start` on, each the oldest that holds its content [MAP-2].

    A name fixes its table entry, so that a block stands at the same place in every run that it is in. What lies
    before `start` is vouched for by `base`, whose chain of hashes this one goes on with.
    A run that was cut at its end never grows again, so that a base that reaches as far as it must is
    what it was. The first `lost` blocks are no longer in it.
    """

    def __init__(self, base: "Run | None", start: int) -> None:
        self.base: Final = base
        self.start: Final = start
        self.blocks: Final[list[int]] = []
        self.grows = True
        self.lost = 0


@final
class Runs:
    """The runs of one group: `of[block]` has the block in its list, or is None; groups may share `of`.

    Out of a run's midst a block takes all that follow with it if a hit needs every block before
    [FULL-1], and else all before it, which the window leaves first [SWA-1].
    """

    def __init__(self, oldest: dict[bytes, int], of: list[Run | None], *, is_full: bool) -> None:
        self._oldest: Final = oldest
        self.of: Final = of
        self._is_full: Final = is_full

    def extend(self, start: int, blocks: list[int], before: bytes | None) -> None:
        """Note that these blocks came to be the oldest ones from table entry `start` on, behind `before`."""
        run = self._behind(before, start)
        if run is not None:
            run.blocks.extend(blocks)
            of = self.of
            for block in blocks:
                of[block] = run

    def append(self, start: int, block: int, before: bytes | None) -> None:
        """The same for one block."""
        run = self._behind(before, start)
        if run is not None:
            run.blocks.append(block)
            self.of[block] = run

    def _behind(self, before: bytes | None, start: int) -> Run | None:
        """The run that goes on behind `before` with table entry `start`, if any vouches for `before`."""
        if before is None:
            return Run(None, start)
        run = self.of[self._oldest.get(before, 0)]
        if run is None or (run.grows and start == run.start + len(run.blocks)):
            return run
        return Run(run, start)

    def cut(self, block: int) -> None:
        """The block loses its content, and leaves its run. Tails go first, as a rule [FREE-1]."""
        of = self.of
        run = of[block]
        if run is None:
            return
        blocks = run.blocks
        if not self._is_full and blocks[-1] != block:
            while of[block] is not None:
                of[blocks[run.lost]] = None
                run.lost += 1
            return
        run.grows = False
        last = blocks.pop()
        of[last] = None
        while last != block:
            last = blocks.pop()
            of[last] = None

    def clear(self) -> None:
        """All blocks have lost their content."""
        self.of[:] = [None] * len(self.of)

    def known(self, names: list[bytes], start: int, end: int) -> list[int] | None:
        """The blocks of [start, end) up to the first that is missing; None if the runs do not tell."""
        if start >= end:
            return []
        if self._is_full and not start:
            return self._longest(names, min(end, len(names)))
        return self._between(names, start, end - 1) if end <= len(names) else None

    def _longest(self, names: list[bytes], end: int) -> list[int] | None:
        """The end is found as if the cached names came first; whether they do, the runs tell."""
        return self._between(names, 0, self._last_cached(names, end))

    def _between(self, names: list[bytes], start: int, at: int) -> list[int] | None:
        """The blocks from `start` to `at`, if the runs vouch for all of them."""
        run = self.of[self._oldest.get(names[at], 0)]
        end = at + 1
        found: list[int] = []
        while run is not None and end <= run.start + len(run.blocks):
            # The first entry that this run is asked for, in its own list.
            first = max(start - run.start, 0)
            if first < run.lost:
                return None
            piece = run.blocks[first : end - run.start]
            found = piece + found if found else piece
            if start >= run.start:
                return found
            end, run = run.start, run.base
        return None

    def _last_cached(self, names: list[bytes], end: int) -> int:
        """A name whose successor below `end` is not cached, and which is, unless it is the first one."""
        oldest = self._oldest
        if names[end - 1] in oldest:
            return end - 1
        there, missing, step = 0, end - 1, 1
        while there + step < missing and names[there + step] in oldest:
            there += step
            step *= STRIDE
        missing = min(missing, there + step)
        while missing - there > 1:
            middle = (there + missing) // 2
            if names[middle] in oldest:
                there = middle
            else:
                missing = middle
        return there
