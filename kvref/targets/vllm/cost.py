"""What a recorder costs the engine's thread, measured while it runs, at next to no cost.

In one step of many, each allocation is timed twice: with what is noted of it, and without. How many notes there
were in all is known, and what a state takes is timed each time.
"""

from collections.abc import Callable
from functools import wraps
from time import perf_counter_ns
from typing import Any, Final

from invariants.view import View
from kvref.targets.vllm.pictured import view_of

TRIALS: Final = 200


class Cost:
    """Counts nanoseconds."""

    def __init__(self) -> None:
        self._began = perf_counter_ns()
        self._with = self._without = 0
        self._timed = 0
        self._states = self._state_nanoseconds = 0
        nothing = _timed(lambda: None, self._add_inner)
        for _ in range(TRIALS):
            _timed(nothing, self._add_outer)()
        self._clock = (self._with - self._without) // TRIALS
        """What timing itself takes, a call."""
        self._with = self._without = self._timed = 0

    def timing(
        self, around: Callable[[Callable[..., Any]], Callable[..., Any]], method: Callable[..., Any]
    ) -> Callable[..., Any]:
        """What `around` makes of the method, with both timed."""
        return _timed(around(_timed(method, self._add_inner)), self._add_outer)

    def of_state(self, manager: Any) -> View:
        """The manager's state. Raises UnpicturableError if this release keeps it otherwise."""
        began = perf_counter_ns()
        view = view_of(manager)
        self._state_nanoseconds += perf_counter_ns() - began
        self._states += 1
        return view

    def told(self) -> tuple[int, int, int, int, int]:
        """How many were timed, and what they took; the same of states; how long it is since the beginning."""
        spent = max(0, self._with - self._without - self._timed * self._clock)
        return self._timed, spent, self._states, self._state_nanoseconds, perf_counter_ns() - self._began

    def _add_inner(self, nanoseconds: int) -> None:
        self._without += nanoseconds

    def _add_outer(self, nanoseconds: int) -> None:
        self._with += nanoseconds
        self._timed += 1


def _timed(method: Callable[..., Any], add: Callable[[int], None]) -> Callable[..., Any]:
    """The method, with what each call of it takes added."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        began = perf_counter_ns()
        try:
            return method(*arguments, **named)
        finally:
            add(perf_counter_ns() - began)

    return call
