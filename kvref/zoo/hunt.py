"""What a driver does to one bug: cases one after another, until the first that shows it.

A driver is one module: `cases` are the fuzzer's, `machine` has Hypothesis draw them. Both follow from the
seed, so that operations to a kill are the same on every machine; seconds are not.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from kvref.compare import Difference
from kvref.operations import Trace
from kvref.zoo.bug import Bug


@dataclass(frozen=True)
class Kill:
    """What shows the bug, and what is wrong at its end."""

    trace: Trace
    wrong: tuple[Difference, ...]


@dataclass
class Hunt:
    """One bug at one level: so many cases and operations up to the kill, and processor seconds.

    `kill` is None while it lives.
    """

    bug: Bug
    cases: int = 0
    operations: int = 0
    seconds: float = field(default=0.0, compare=False)
    kill: Kill | None = None

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count processor time."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - began
