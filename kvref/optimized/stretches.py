"""Who uses which blocks, told for whole stretches of tables at a time."""

from typing import Final, final

from .free_queue import FreeQueue, Stretch


@final
class Stretches:
    """All blocks in stretches: `of[block]` has the block in its list.

    A stretch that somebody holds lies in each of its users' tables as a whole. It is cut where a hit or a
    release ends, and only the shorter part is written for: so a long table is hit, shared and freed
    without a write for any of its blocks.
    """

    def __init__(self, num_blocks: int, first: int) -> None:
        """Queue the blocks from `first` on, in the order of their ids [POOL-1]."""
        unused = Stretch(list(range(num_blocks - 1, first - 1, -1)), 0)
        self.of: Final = [unused] * num_blocks
        self.of[:first] = [Stretch([], 0)] * first
        self.queue: Final = FreeQueue()
        if unused.blocks:
            self.queue.append(unused)

    def take(self, count: int, row: list[int], *, apart: bool) -> list[int]:
        """Let a table's row grow by blocks from the front of the queue, which go `apart` or together."""
        taken = self.queue.take(count)
        of = self.of
        if apart:
            for block in taken:
                own = of[block]
                if len(own.blocks) == 1 and own.after is None:
                    own.users = 1
                else:
                    of[block] = Stretch([block], 1)
        elif taken:
            last = of[row[-1]] if row else None
            if last is None or last.users != 1:
                last = Stretch(taken[:], 1)
            else:
                last.blocks.extend(taken)
            for block in taken:
                of[block] = last
        row.extend(taken)
        return taken

    def hold(self, hits: list[Stretch]) -> None:
        """One user more for what a table begins with; what nobody else holds is joined [POOL-6]."""
        last: Stretch | None = None
        for stretch in hits:
            stretch.users += 1
            if stretch.users > 1:
                last = None
                continue
            if stretch.after is not None:
                self.queue.remove(stretch)
            last = stretch if last is None else self._join(last, stretch)

    def alone(self, block: int) -> Stretch:
        """The block as a stretch of its own."""
        stretch = self._from(block)
        if len(stretch.blocks) > 1:
            self._cut(stretch, 1)
        return self.of[block]

    def hits(self, blocks: list[int]) -> list[Stretch]:
        """The stretches that a hit consists of, but for nulls, however its blocks came together."""
        of = self.of
        found: list[Stretch] = []
        at, end = 0, len(blocks)
        while at < end:
            block = blocks[at]
            if not block:
                at += 1
                continue
            stretch = self._from(block)
            size = len(stretch.blocks)
            if blocks[at : at + size] != stretch.blocks:
                size = _in_common(stretch.blocks, blocks, at, end)
                self._cut(stretch, size)
            found.append(of[block])
            at += size
        return found

    def release(self, blocks: list[int], start: int, end: int, *, to_front: bool = False) -> None:
        """One user less for what is in [start, end) of a table; its end is the first to be taken [POOL-7].

        These are a table's own entries, some left out perhaps: a stretch whose ends are there is there.
        """
        of, queue = self.of, self.queue
        found: list[Stretch] = []
        at = start
        while at < end:
            block = blocks[at]
            if not block:
                at += 1
                continue
            stretch = self._from(block)
            last = at + len(stretch.blocks)
            if last > end or blocks[last - 1] != stretch.blocks[-1]:
                last = at + _in_common(stretch.blocks, blocks, at, end)
                self._cut(stretch, last - at)
                stretch = of[block]
            found.append(stretch)
            at = last
        if not to_front:
            found.reverse()
        for stretch in found:
            stretch.users -= 1
            if stretch.users == 0:
                if to_front:
                    queue.prepend(stretch)
                else:
                    queue.append(stretch)

    def release_one(self, block: int) -> None:
        """One user less for a table's first block, which goes to the back with others of whatever table.

        Windows leave blocks one by one, and a stretch for each would be a burden to the garbage collector.
        """
        stretch = self.of[block]
        blocks = stretch.blocks
        if stretch.users == 1 and len(blocks) > 1:
            # What lay before the block was cut off as it was released: it is the stretch's first.
            del blocks[0]
            self.of[block] = self.queue.append_one(block)
        else:
            self.release([block], 0, 1)

    def _from(self, block: int) -> Stretch:
        """The stretch that begins with the block: if it lies within one, that is cut."""
        stretch = self.of[block]
        if stretch.blocks[0] != block:
            self._cut(stretch, stretch.blocks.index(block))
            stretch = self.of[block]
        return stretch

    def _join(self, first: Stretch, second: Stretch) -> Stretch:
        """Make one of two stretches that follow one another in the one table that holds them."""
        if len(first.blocks) < len(second.blocks):
            longer, shorter = second, first
            longer.blocks[:0] = shorter.blocks
        else:
            longer, shorter = first, second
            longer.blocks.extend(shorter.blocks)
        of = self.of
        for block in shorter.blocks:
            of[block] = longer
        return longer

    def _cut(self, stretch: Stretch, at: int) -> None:
        """Make two of a stretch: what comes before its block number `at`, and the others."""
        blocks = stretch.blocks
        after = stretch.after
        if 2 * at < len(blocks):
            shorter = Stretch(blocks[:at], stretch.users)
            del blocks[:at]
        else:
            shorter = Stretch(blocks[at:], stretch.users)
            del blocks[at:]
            after = stretch if after is not None else None
        of = self.of
        for block in shorter.blocks:
            of[block] = shorter
        if after is not None:
            # The later part of a table is taken first.
            self.queue.put_before(after, shorter)


def _in_common(stretch: list[int], blocks: list[int], at: int, end: int) -> int:
    """How many blocks of the stretch are those of [at, end)."""
    size = min(len(stretch), end - at)
    if stretch[:size] == blocks[at : at + size]:
        return size
    count = 1
    while stretch[count] == blocks[at + count]:
        count += 1
    return count
