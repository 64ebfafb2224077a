"""Kills bugs, shrinks what shows them, and writes down what it took."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import Final

import msgspec

from kvref.errors import UserError
from kvref.fuzz.interrupts import kept_from_children
from kvref.fuzz.shows import Shows
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shows_invariants import Invariants
from kvref.fuzz.shrink import shrink
from kvref.operations import Trace
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession
from kvref.zoo.bug import Driver, Level
from kvref.zoo.cases import asked, hunt_cases
from kvref.zoo.catalogue import bug_called
from kvref.zoo.hunt import Hunt
from kvref.zoo.results import Run
from kvref.zoo.session import session_with

BUDGET: Final = 1500
"""So many attempts shrink what shows a bug."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One bug, one driver and level, and how many cases are played at the most."""

    bug: str
    driver: Driver
    level: Level
    seed: int
    cases: int
    shrinks: bool


def measure(task: Task) -> Run:
    """What it took to kill the bug."""
    bug = bug_called(task.bug)
    if task.driver == "hypothesis":
        from kvref.zoo.machine import hunt_machine  # noqa: PLC0415 - needs Hypothesis

        hunt = hunt_machine(bug, task.level, task.seed, task.cases)
    else:
        hunt = hunt_cases(bug, task.level, task.seed, task.cases)
    return Run(
        driver=task.driver,
        level=task.level,
        killed=hunt.kill is not None,
        cases=hunt.cases,
        operations=hunt.operations,
        seconds=round(hunt.seconds, 2),
        reproducer=_reproducer(task, hunt) if task.shrinks else None,
        shown=hunt.kill.wrong[0].what if hunt.kill is not None else "",
    )


def measure_all(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Run]]:
    """All tasks, in so many processes, as they are done. Raises what a task raises, UserError if a process dies."""
    if workers == 1:
        for task in tasks:
            yield task, measure(task)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        with kept_from_children():
            begun: dict[Future[Run], Task] = {pool.submit(measure, task): task for task in tasks}
        left = set(begun)
        try:
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                for one in done:
                    yield begun[one], one.result()
        except BrokenProcessPool as lost:
            raise UserError(
                f"a process of kvref zoo died, for want of memory maybe: take fewer --workers than {workers}"
            ) from lost
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if left:  # it was interrupted: what is in the midst of a bug is not waited for
                for process in active_children():
                    process.terminate()


def _reproducer(task: Task, hunt: Hunt) -> int | None:
    """How many operations the shrunk trace has."""
    if hunt.kill is None:
        return None
    if task.driver == "hypothesis":
        from kvref.zoo.machine import shrunk_length  # noqa: PLC0415 - needs Hypothesis

        return shrunk_length(hunt.bug, task.level, hunt.kill)
    small = shrink(hunt.kill.trace, _shows(task, hunt.kill.trace), budget=BUDGET)
    return len(small.trace.operations) if small is not None else None


def _shows(task: Task, trace: Trace) -> Shows:
    bug = bug_called(task.bug)
    match task.level:
        case "exact":
            return Exact(ReferenceSession, InProcessTarget(f"zoo=={bug.name}", session_with(bug)), trace)
        case "invariants":
            return Invariants(session_with(bug), trace)
        case "safe" | "hits":
            from kvref.fuzz.shows_safe import Safe  # noqa: PLC0415 - needs torch

            return Safe(asked(bug, task.level))
