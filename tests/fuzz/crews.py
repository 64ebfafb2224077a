"""Campaigns on faulty managers for tests of workers: small ones, and without the data plane.

Run as a module it is a campaign in a process of its own, with a state: it can be killed.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kvref.fuzz import exact, state
from kvref.fuzz.campaign import Ledger, Memory, conduct
from kvref.fuzz.exact import ExactRunner
from kvref.fuzz.processes import Processes
from kvref.fuzz.settings import BATCH, Settings
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Here, OpenRunner, Runner, Workers
from kvref.targets.reference import ReferenceSession
from tests.fuzz.faults import FaultyTarget, FreesInReverse

SHARDS = 6
SETTINGS = Settings(1, SHARDS * BATCH, length=20)


@contextmanager
def faulty_runner(settings: Settings) -> Iterator[Runner]:
    """A manager that is found out in every few cases. What follows careful cases takes long to import."""
    kept, exact._data_plane = exact._data_plane, lambda: None
    runner = ExactRunner(settings, ReferenceSession, FaultyTarget(FreesInReverse))
    try:
        yield runner
    finally:
        exact._data_plane = kept
        runner.close()


def opens(settings: Settings = SETTINGS) -> OpenRunner:
    return partial(faulty_runner, settings)


def empty(settings: Settings = SETTINGS) -> Report:
    return Report("faulty", settings)


def ignore(report: Report) -> None:
    del report


def alone(settings: Settings = SETTINGS, ledger: Ledger | None = None) -> Report:
    """The campaign in this process."""
    with faulty_runner(settings) as runner:
        return conduct(Here(runner), ledger or Memory(empty(settings)), ignore)


def run_on(workers: Workers, settings: Settings = SETTINGS) -> Report:
    return conduct(workers, Memory(empty(settings)), ignore)


def _dying_at(moment: int, function: Callable[..., Any], counted: list[None]) -> Callable[..., Any]:
    """The function; but the process is killed instead of the call that is counted as `moment`."""

    def call(*arguments: Any, **more: Any) -> Any:
        counted.append(None)
        if len(counted) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)

    return call


def main() -> None:
    """`FOLDER MOMENT [WORKERS]`: killed at the n-th step of those that keep the state; 0 is never."""
    folder, moment, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    counted: list[None] = []
    for owner, name in ((os, "fsync"), (os, "open"), (os, "close"), (Path, "replace"), (state, "encode")):
        setattr(owner, name, _dying_at(moment, getattr(owner, name), counted))
    with state.state_in(folder, empty()) as kept, faulty_runner(SETTINGS) as runner:
        crew = Processes(workers, opens()) if workers else Here(runner)
        report = conduct(crew, kept, lambda report: print(report.cases, flush=True))  # noqa: T201
    print(report.failure or "done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
