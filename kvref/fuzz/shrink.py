"""Makes a trace that shows a finding as small as it gets: delta debugging.

A smaller trace is tried by playing it (`shows`). What is no longer legal is mended or left out on the
way, so nearly every attempt is a real case; what was performed is what counts. Attempts follow from the
trace and from what is answered: the same target gives the same result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, final

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.shows import Shown, Shows
from kvref.fuzz.smaller_traces import PASSES, Smaller, size_of
from kvref.operations import Trace

BUDGET: Final = 3000
Progress = Callable[[int, int], None]
"""Told of attempts so far, and of the operations that are left, after each attempt."""

Ending = Literal["minimal", "budget", "interrupt"]


@dataclass(frozen=True)
class Shrunk:
    """The smallest trace that was found, what is wrong at its end, and after how many attempts.

    `ending` tells whether nothing smaller is left to try, the budget was spent, or Ctrl-C ended it.
    """

    trace: Trace
    wrong: tuple[Difference, ...]
    attempts: int
    known: str | None = None
    ending: Ending = "minimal"


def shrink(
    trace: Trace, shows: Shows, *, budget: int = BUDGET, progress: Progress | None = None
) -> Shrunk | None:
    """The smallest trace that shows what this one shows; None if it shows nothing."""
    first = shows.play(trace)
    if not first.differences:
        return None
    shrinking = _Shrinking(shows, first, budget, progress)
    ending = shrinking.run()
    best = shrinking.best
    return Shrunk(best.trace, best.differences, shrinking.attempts, best.known, ending)


class _SpentError(Exception):
    """No attempt is left, or the target can be used no more."""


@final
class _Shrinking:
    """The smallest trace so far."""

    def __init__(self, shows: Shows, first: Shown, budget: int, progress: Progress | None) -> None:
        self.best = first
        self.attempts = 0
        self._shows: Final = shows
        self._first: Final = first
        self._size = size_of(first.trace)
        self._budget: Final = budget
        self._progress: Final = progress
        self._tried: Final = {first.trace}

    def run(self) -> Ending:
        """Try all there is to try, again and again, until nothing gets smaller."""
        before = None
        try:
            while before != self.best:
                before = self.best
                for smaller in PASSES:
                    self._sweep(smaller)
        except _SpentError:
            return "budget"
        except KeyboardInterrupt:
            return "interrupt"
        return "minimal"

    def _sweep(self, smaller: Smaller) -> None:
        """Try the candidates in turn; behind one that was taken, go on with the next ones of its own."""
        at, taken = 0, True
        while taken:
            taken = False
            for candidate in islice(smaller(self.best.trace), at, None):
                taken = self._takes(candidate)
                if taken:
                    break
                at += 1

    def _takes(self, candidate: Trace) -> bool:
        if candidate in self._tried:
            return False
        self._tried.add(candidate)
        if self.attempts >= self._budget:
            raise _SpentError
        self.attempts += 1
        try:
            shown = self._shows.play(candidate)
        except UserError as unusable:
            raise _SpentError from unusable
        size = size_of(shown.trace)
        is_smaller = size < self._size and self._shows.is_same(self._first, shown)
        if is_smaller:
            self.best, self._size = shown, size
            self._tried.add(shown.trace)
        if self._progress is not None:
            self._progress(self.attempts, len(self.best.trace.operations))
        return is_smaller
