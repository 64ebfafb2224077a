"""Checks in this process, or in several: what comes of them is the same.

On Ctrl-C each check at work ends with what it has reached.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Protocol, TypeVar

from kvref.check.explore import Ending, Explored
from kvref.errors import UserError
from kvref.fuzz.interrupts import kept_from_children

OnState = Callable[[str, Explored], None]

Say = Callable[[str], None]
"""Is told what is at work, a few times a second."""

SECONDS_A_LOOK = 0.25


class Outcome(Protocol):
    """What came of a check."""

    @property
    def ending(self) -> Ending:
        """Why it ended."""


Out = TypeVar("Out", bound=Outcome)


class Task(Protocol[Out]):
    """A check that can be sent to another process."""

    def is_done_by(self, earlier: Out) -> bool:
        """Whether this came of the same check, so that it need not be done again."""

    def run(self, on_state: OnState) -> Out:
        """Check it. A KeyboardInterrupt, raised by `on_state` too, ends it with what was reached."""


def outcomes(
    tasks: Sequence[Task[Out]], workers: int, say: Say, earlier: Sequence[Out] = ()
) -> Iterator[Out]:
    """What comes of the tasks, as they are done; behind an interrupt, only of those that were at work.

    What came of them earlier is taken from there. Raises UserError if a process is lost.
    """
    yield from (one for one in earlier if any(task.is_done_by(one) for task in tasks))
    tasks = [task for task in tasks if not any(task.is_done_by(one) for one in earlier)]
    if min(workers, len(tasks)) > 1:
        yield from _beside(tasks, workers, say)
        return
    for task in tasks:
        outcome = task.run(lambda name, seen: say(reached(name, seen)))
        yield outcome
        if outcome.ending == "interrupt":
            return


def reached(name: str, seen: Explored) -> str:
    """How far a check has come, in a line."""
    return f"{name}: {seen.states:,} states, {seen.transitions:,} transitions, depth {seen.depth}"


def _beside(tasks: Sequence[Task[Out]], workers: int, say: Say) -> Iterator[Out]:
    context = get_context("spawn")
    shared = _Shared(context.Event(), context.Value("Q"))
    began = time.monotonic()
    with ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(shared.stop, shared.made)
    ) as pool:
        with kept_from_children():
            left: list[Future[Out | None]] = [pool.submit(_work, task) for task in tasks]
        try:
            while left:
                try:
                    wait(left, SECONDS_A_LOOK, FIRST_COMPLETED)
                    rate = shared.made.value / (time.monotonic() - began)
                    done = f"{len(tasks) - len(left)} of {len(tasks)} done"
                    say(f"{done}, {shared.made.value:,} transitions, {rate:,.0f} a second")
                except KeyboardInterrupt:
                    shared.stop.set()
                for one in [one for one in left if one.done()]:
                    left.remove(one)
                    outcome = one.result()
                    if outcome is not None:
                        yield outcome
        except BrokenProcessPool as lost:
            raise UserError(
                f"a process of kvref check died, for want of memory maybe: take fewer --workers than {workers}"
            ) from lost
        finally:
            shared.stop.set()
            pool.shutdown(cancel_futures=True)


class _Shared:
    """What this process and its workers share: whether to stop, and the transitions that all have made."""

    def __init__(self, stop: Event, made: "Synchronized[int]") -> None:
        self.stop = stop
        self.made = made

    def work(self, task: Task[Out]) -> Out | None:
        """Check it, unless all is over."""
        if self._is_over():
            return None
        counted = 0

        def on_state(_name: str, seen: Explored) -> None:
            nonlocal counted
            with self.made.get_lock():
                self.made.value += seen.transitions - counted
            counted = seen.transitions
            if self._is_over():
                raise KeyboardInterrupt

        return task.run(on_state)

    def _is_over(self) -> bool:
        parent = parent_process()
        return self.stop.is_set() or (parent is not None and not parent.is_alive())


_SHARED: list[_Shared] = []
"""A worker's own."""


def _begin(stop: Event, made: "Synchronized[int]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _SHARED.append(_Shared(stop, made))


def _work(task: Task[Out]) -> Out | None:
    return _SHARED[0].work(task)
