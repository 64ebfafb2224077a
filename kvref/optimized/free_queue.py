"""The free queue: blocks without a user, the next one to be taken first."""

from collections import deque
from typing import Final, final

SHARED: Final = 0
"""The owner of blocks that several tables hold, and of those that are set aside."""

INITIAL: Final = 1
"""The owner of all blocks before anything is taken."""

SHORT: Final = 8
"""So few released blocks join others instead of making a segment of their own."""

LONGEST: Final = 1024
"""A segment that takes single blocks is closed behind so many, for what was taken of it is kept till its end."""

SLACK: Final = 1024
"""So many stale entries are put up with, whatever the number of free blocks."""


@final
class Segment:
    """A stretch of the queue: the blocks from `at` on that still belong to `owner`."""

    def __init__(self, owner: int, blocks: list[int]) -> None:
        self.owner: Final = owner
        self.blocks: Final = blocks
        self.at = 0


@final
class FreeQueue:
    """A queue of segments, so that a long table is taken or given back in one piece.

    Every block has an owner: a request's tables while they hold it, and the segment that it waits
    in. Tables that are freed leave their number to their segment, and so nothing is written for any
    block. A block that is hit goes to another owner, and its entry is passed over when it is reached.
    """

    def __init__(self, num_blocks: int, first: int) -> None:
        """Queue the blocks from `first` on, in the order of their ids [POOL-1]."""
        self.owner: Final[list[int]] = [INITIAL] * num_blocks
        self.owner[:first] = [SHARED] * first
        self.owners: Final[set[int]] = set()
        """The numbers of all tables that hold blocks."""
        self.count = num_blocks - first
        self._entries = self.count
        self._last_number = INITIAL
        self._segments: Final = deque([Segment(INITIAL, list(range(first, num_blocks)))])
        # The last segment, if it takes single blocks.
        self._open: Segment | None = None

    def new_owner(self) -> int:
        """A number for new tables."""
        number = self._new_number()
        self.owners.add(number)
        return number

    def _new_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def holds(self, block: int) -> bool:
        """Whether the block is free."""
        owner = self.owner[block]
        return owner != SHARED and owner not in self.owners

    def take(self, count: int, taker: int) -> list[int]:
        """Remove so many blocks from the front, which are there [QUEUE-3]."""
        owner = self.owner
        taken: list[int] = []
        while len(taken) < count:
            segment = self._segments[0]
            at = segment.at
            blocks = segment.blocks[at : at + count - len(taken)]
            segment.at = at + len(blocks)
            if segment.at >= len(segment.blocks):
                self._segments.popleft()
                if segment is self._open:
                    self._open = None
            if self._entries > self.count:
                mine = segment.owner
                self._entries -= len(blocks)
                blocks = [block for block in blocks if owner[block] == mine]
                self._entries += len(blocks)
            for block in blocks:
                owner[block] = taker
            if taken:
                taken.extend(blocks)
            else:
                taken = blocks
            self._entries -= len(blocks)
            self.count -= len(blocks)
        return taken

    def remove(self, blocks: list[int], taker: int) -> None:
        """Give free blocks to a new owner, wherever they are [POOL-6]."""
        owner = self.owner
        mine = SHARED if self._open is None else self._open.owner
        for block in blocks:
            if owner[block] == mine:
                # It may come back to the same segment, where its old entry must not count again.
                self._open = None
            owner[block] = taker
        self.count -= len(blocks)
        if self._entries > 2 * self.count + SLACK:
            self._compact()

    def append(self, blocks: list[int], owner: int) -> None:
        """Add blocks to the back, in this order [QUEUE-5]; a former owner of all leaves them its number."""
        if not blocks:
            return
        self.count += len(blocks)
        self._entries += len(blocks)
        if owner != SHARED and len(blocks) > SHORT:
            self._segments.append(Segment(owner, blocks))
            self._open = None
            return
        if self._open is None or len(self._open.blocks) > LONGEST:
            self._open = Segment(self._new_number(), [])
            self._segments.append(self._open)
        mine = self._open.owner
        for block in blocks:
            self.owner[block] = mine
        self._open.blocks.extend(blocks)

    def prepend(self, blocks: list[int]) -> None:
        """Add blocks to the front, in this order: the first of them is taken next [QUEUE-5]."""
        mine = self._new_number()
        for block in blocks:
            self.owner[block] = mine
        self._segments.appendleft(Segment(mine, blocks))
        self.count += len(blocks)
        self._entries += len(blocks)

    def ids(self) -> list[int]:
        """All free blocks, front to back."""
        owner = self.owner
        found: list[int] = []
        for segment in self._segments:
            mine = segment.owner
            found.extend([block for block in segment.blocks[segment.at :] if owner[block] == mine])
        return found

    def _compact(self) -> None:
        """Drop the entries that no longer count: no more often than there are such entries."""
        blocks = self.ids()
        self._segments.clear()
        self._open = None
        mine = self._new_number()
        for block in blocks:
            self.owner[block] = mine
        self._segments.append(Segment(mine, blocks))
        self._entries = len(blocks)
