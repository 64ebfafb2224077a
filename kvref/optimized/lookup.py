"""The longest hit: every spec group shortens the length until all of them serve it [HIT-7]."""

from itertools import repeat
from typing import Final, final

from .groups import Group
from .prefix_map import PrefixMap

STRIDE: Final = 16
"""So many hashes are probed at first, then four times as many: a miss at once must not cost a whole prompt."""

NOTHING: Final = repeat(0)
"""What a probe finds where nothing is cached: the null block."""


@final
class SpecGroup:
    """Groups with an equal spec: a block is cached if each of them has it [HIT-2, POOL-3]."""

    def __init__(self, kind: Group, maps: list[PrefixMap], alignment: int) -> None:
        self.kind: Final = kind
        self.hashes_per_block: Final = kind.hashes_per_block
        self._members: Final = maps
        self._maps: Final = [one.oldest for one in maps]
        self._alignment: Final = alignment
        # EAGLE recomputes the block behind a hit; a recurrent state asks for none [EAGLE-1, Q-1].
        self._extra: Final = 1 if kind.eagle and not kind.is_state else 0
        # What was found lies in one piece: by member the blocks of [found_from, found_to).
        self._found_from = 0
        self._found_to = 0
        self._found: list[list[int]] = [[] for _ in maps]

    def start(self) -> None:
        """Forget what the last lookup found."""
        self._found_from = self._found_to = 0
        self._found = [[] for _ in self._maps]

    def misses_at_once(self, names: list[bytes]) -> bool:
        """Whether the very first block is needed and not there: nothing can be hit then."""
        return self.kind.is_full and (not names or names[0] not in self._maps[0])

    def longest(self, names: list[bytes], length: int, most: int) -> int:
        """The longest aligned length up to `length` that is served; no block ends behind `most` tokens.

        A missing block rules out all lengths that read it, so the search goes on below it.
        """
        kind, size, unit, extra = self.kind, self.kind.block_size, self._alignment, self._extra
        if kind.is_state:
            return self._last_state(names, length)
        if extra:
            length = min(length, (most - size) // unit * unit)
        while length > 0:
            missing = self._first_missing(names, kind.first_read(length), length // size + extra)
            if missing < 0:
                return length
            length = (missing - extra) * size // unit * unit
        return 0

    def _last_state(self, names: list[bytes], length: int) -> int:
        """The longest aligned length up to `length` whose one state is cached [MAMBA-1]."""
        size, step = self.kind.block_size, self._alignment // self.kind.block_size
        at = length // size - 1
        while at >= 0:
            if at < len(names):
                name = names[at]
                if name in self._maps[0] and all(name in one for one in self._maps):
                    self._found_from, self._found_to = at, at + 1
                    self._found = [[one[name]] for one in self._maps]
                    return (at + 1) * size
            at -= step
        return 0

    def _first_missing(self, names: list[bytes], start: int, end: int) -> int:
        """The first block of [start, end) that is not cached, -1 if all are; none is asked for twice."""
        low, high = self._found_from, self._found_to
        if start < low:
            pieces = self._probe(names, start, min(end, low))
            reached = start + len(pieces[0])
            self._found_from = start
            if reached < low:
                self._found, self._found_to = pieces, reached
                return reached if reached < end else -1
            self._found = [piece + found for piece, found in zip(pieces, self._found, strict=True)]
        elif start > high:
            self._found_from = high = start
            self._found = [[] for _ in self._maps]
        if end > high:
            pieces = self._probe(names, high, end)
            high += len(pieces[0])
            for found, piece in zip(self._found, pieces, strict=True):
                found.extend(piece)
        self._found_to = high
        return high if high < end else -1

    def _probe(self, names: list[bytes], start: int, end: int) -> list[list[int]]:
        """By member the blocks from `start` on, up to `end` or the first that some member lacks."""
        pieces: list[list[int]] = []
        for one in self._members:
            known = one.runs.known(names, start, end) if one.runs is not None else None
            if known is not None:
                end = start + len(known)
                pieces.append(known)
                continue
            oldest = one.oldest
            blocks: list[int] = []
            at, stride = start, STRIDE
            while at < end:
                found = list(map(oldest.get, names[at : min(end, at + stride)], NOTHING))
                if not all(found):
                    del found[found.index(0) :]
                blocks += found
                at += len(found)
                if len(found) < stride:
                    break
                stride *= 4
            end = at
            pieces.append(blocks)
        for blocks in pieces:
            del blocks[end - start :]
        return pieces

    def row(self, member: int, length: int) -> list[int]:
        """One member's hit: nulls for what is not read, then its blocks [SWA-5, FULL-2].

        The last search was for this length, so that what was found begins with the first block that is read.
        """
        first, end = self.kind.first_read(length), length // self.kind.block_size
        return [0] * first + self._found[member][: end - first]


@final
class Lookup:
    """All spec groups of a manager, those that miss soonest first."""

    def __init__(
        self, groups: list[Group], members: list[list[int]], maps: list[PrefixMap], alignment: int
    ) -> None:
        self._nothing: list[list[int]] = [[] for _ in groups]
        self._alignment = alignment
        searches = [(SpecGroup(groups[own[0]], [maps[g] for g in own], alignment), own) for own in members]
        searches.sort(key=lambda search: not search[0].kind.is_full)
        self._searches: list[tuple[SpecGroup, list[int]]] = searches

    def longest_hit(self, hashes: list[bytes], most: int) -> tuple[list[list[int]], int]:
        """The blocks by group and the length of the longest hit of at most `most` tokens [HIT-6]."""
        length = most // self._alignment * self._alignment if self._searches else 0
        names: dict[int, list[bytes]] = {1: hashes}
        for search, _ in self._searches:
            per_block = search.hashes_per_block
            if per_block not in names:
                names[per_block] = hashes[per_block - 1 :: per_block]
            if search.misses_at_once(names[per_block]):
                return self._nothing, 0
            search.start()
        agreed, at = 0, 0
        while length > 0 and agreed < len(self._searches):
            search = self._searches[at][0]
            shorter = search.longest(names[search.hashes_per_block], length, most)
            agreed = agreed + 1 if shorter == length else 1
            length = shorter
            at = (at + 1) % len(self._searches)
        if length <= 0:
            return self._nothing, 0
        rows: list[list[int]] = [[] for _ in self._nothing]
        for search, own in self._searches:
            for member, group in enumerate(own):
                rows[group] = search.row(member, length)
        return rows, length
