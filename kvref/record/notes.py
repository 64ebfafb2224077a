"""What an engine's thread notes, and what makes entries of it in the thread that writes them.

Noting is one append to a queue; all else waits for the other thread.
"""

import os
from collections.abc import Callable
from threading import Lock
from types import ModuleType
from typing import Any, Final, final

from kvref.record import taps

TAPS: Final = "KVREF_TAPS"
"""`plain`: not even where native ones are there."""


def native() -> ModuleType | None:
    """The native taps, if `make compile` has made them for this interpreter."""
    if os.environ.get(TAPS) == "plain":
        return None
    try:
        from kvref.record import native_taps  # noqa: PLC0415 - it need not be there
    except ImportError:
        return None
    return native_taps


@final
class Notes:
    """Notes in order: one thread calls `note`, another takes entries. `make` turns some notes into entries.

    `taps` are the functions that note calls; with none named, native ones if there are any.
    """

    def __init__(self, own: ModuleType | None = None) -> None:
        self.taps: Any = own or native() or taps
        self.queue: Any = self.taps.Queue()
        self.making = Lock()
        """Held while entries are made: who holds it knows that none are."""
        self.note: Callable[[tuple[Any, ...]], None] = self.queue.append
        self.make: Callable[[list[Any]], list[Any]] = list

    def __len__(self) -> int:
        return len(self.queue)

    def take(self, most: int) -> list[Any]:
        """The entries of the oldest notes, of at most so many."""
        with self.making:
            next_one = self.queue.popleft
            return self.make([next_one() for _ in range(min(most, len(self.queue)))])

    def clear(self) -> None:
        """Throw all away."""
        self.queue.clear()
