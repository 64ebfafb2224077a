"""The free queue: blocks without a user, the next one to be taken first."""

from typing import Final, final

SHORT: Final = 32
"""A stretch in the queue takes in others while it has fewer blocks."""


@final
class Stretch:
    """Blocks with the same users, so many table entries each: neighbours in every user's table, in this order.

    Without a user it stands between two others in the free queue, and may stem from several tables.
    """

    __slots__ = ("after", "before", "blocks", "users")

    def __init__(self, blocks: list[int], users: int) -> None:
        self.blocks: Final = blocks
        self.users = users
        self.before: Stretch | None = None
        self.after: Stretch | None = None


@final
class FreeQueue:
    """A ring of stretches: each is queued, and leaves from wherever it is, in one piece.

    A table is released from its end [FREE-1], so a stretch is taken from its last block to its first.
    """

    def __init__(self) -> None:
        self.count = 0
        # Between the back and the front; it holds no block itself.
        self._ends: Final = Stretch([], 0)
        self._ends.before = self._ends.after = self._ends

    def take(self, count: int) -> list[int]:
        """Remove so many blocks from the front, which are there [QUEUE-3]."""
        self.count -= count
        first = self._ends.after
        if count == 1 and first is not None and len(first.blocks) > 1:
            return [first.blocks.pop()]
        taken: list[int] = []
        while count:
            first = self._ends.after
            assert first is not None  # noqa: S101 - a ring has no end
            blocks = first.blocks
            if len(blocks) > count:
                piece = blocks[: -count - 1 : -1]
                del blocks[-count:]
            else:
                self._unlink(first)
                piece = blocks[::-1]
            count -= len(piece)
            taken = taken + piece if taken else piece
        return taken

    def first(self) -> int:
        """The next block to be taken, which is there."""
        stretch = self._ends.after
        assert stretch is not None  # noqa: S101 - a ring has no end
        return stretch.blocks[-1]

    def append(self, stretch: Stretch) -> None:
        """Add blocks to the back [QUEUE-5]."""
        self.count += len(stretch.blocks)
        self.put_before(self._ends, stretch)

    def append_one(self, block: int) -> Stretch:
        """Add a block to the back, to the last stretch if that is short: the one that it is in."""
        last = self._ends.before
        assert last is not None  # noqa: S101
        if 0 < len(last.blocks) < SHORT:
            self.count += 1
            last.blocks.insert(0, block)
            return last
        own = Stretch([block], 0)
        self.append(own)
        return own

    def prepend(self, stretch: Stretch) -> None:
        """Add blocks to the front [QUEUE-5]."""
        self.count += len(stretch.blocks)
        first = self._ends.after
        assert first is not None  # noqa: S101
        self.put_before(first, stretch)

    def remove(self, stretch: Stretch) -> None:
        """Take blocks out, wherever they are [POOL-6]."""
        self.count -= len(stretch.blocks)
        self._unlink(stretch)

    def put_before(self, after: Stretch, stretch: Stretch) -> None:
        """Let the stretch be taken right before `after`; it counts already."""
        before = after.before
        assert before is not None  # noqa: S101
        before.after = after.before = stretch
        stretch.before, stretch.after = before, after

    def _unlink(self, stretch: Stretch) -> None:
        before, after = stretch.before, stretch.after
        assert before is not None and after is not None  # noqa: S101, PT018
        before.after, after.before = after, before
        stretch.before = stretch.after = None

    def ids(self) -> list[int]:
        """All free blocks, front to back."""
        found: list[int] = []
        stretch = self._ends.after
        while stretch is not None and stretch is not self._ends:
            found.extend(reversed(stretch.blocks))
            stretch = stretch.after
        return found
