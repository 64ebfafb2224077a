"""What an engine's thread notes, and what makes entries of it in the thread that writes them.

Noting is one append to a queue; all else waits for the other thread.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, final


@final
class Notes:
    """Notes in order: one thread calls `note`, another takes entries. `make` turns some notes into entries."""

    def __init__(self) -> None:
        self._noted: deque[Any] = deque()
        self._made: deque[Any] = deque()
        self._making = Lock()
        self.note: Callable[[Any], None] = self._noted.append
        self.make: Callable[[list[Any]], list[Any]] = list

    def __len__(self) -> int:
        return len(self._noted) + len(self._made)

    def take(self, most: int) -> list[Any]:
        """The entries of the oldest notes, of at most so many."""
        with self._making:
            if self._made:
                return _first(self._made, most)
            return self.make(_first(self._noted, most))

    def settle(self) -> None:
        """Make entries of all that was noted, now: what it tells of is about to change."""
        with self._making:
            self._made += self.make(_first(self._noted, len(self._noted)))

    def clear(self) -> None:
        """Throw all away."""
        self._noted.clear()
        self._made.clear()


def _first(queue: deque[Any], most: int) -> list[Any]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]
