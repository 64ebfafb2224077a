"""However many workers there are, and whatever becomes of them, a campaign finds the same."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.fuzz.campaign import ATTEMPTS, Memory, conduct
from kvref.fuzz.processes import Processes
from kvref.fuzz.settings import BATCH, Settings, Shard
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Batch, Runner
from tests.fuzz.crews import SETTINGS, SHARDS, alone, empty, faulty_runner, opens, run_on


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_processes_finds_what_one_does(count: int) -> None:
    report = run_on(Processes(count, opens()))
    assert report.failure is None
    assert report.findings
    assert report.timeless == alone().timeless
    assert multiprocessing.active_children() == []


class Broken:
    """A runner with something wrong at certain shards, until a file says that it happened often enough."""

    def __init__(self, runner: Runner, how: str, times: int, folder: Path) -> None:
        self._runner, self._how, self._times, self._folder = runner, how, times, folder

    @property
    def cpu_seconds(self) -> float:
        return self._runner.cpu_seconds

    def begin(self, shard: Shard) -> Batch:
        happened = len(list(self._folder.glob(f"{shard.number}-*")))
        if shard.number % 2 == 1 and happened < self._times:
            (self._folder / f"{shard.number}-{happened}").touch()
            if self._how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self._how == "target":
                raise UserError("the target has died")
            raise ZeroDivisionError("a defect")
        return self._runner.begin(shard)

    def close(self) -> None:
        self._runner.close()


@contextmanager
def broken_runner(how: str, times: int, folder: Path) -> Iterator[Runner]:
    with faulty_runner(SETTINGS) as runner:
        yield Broken(runner, how, times, folder)


@pytest.mark.parametrize("how", ["killed", "target", "defect"])
def test_a_shard_that_lost_its_worker_is_run_by_another(how: str, tmp_path: Path) -> None:
    report = run_on(Processes(2, partial(broken_runner, how, 1, tmp_path)))
    assert len(list(tmp_path.iterdir())) == SHARDS // 2
    assert report.failure is None
    assert report.timeless == alone().timeless


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("killed", "its worker was killed by SIGKILL"),
        ("target", "the target has died"),
        ("defect", "ZeroDivisionError: a defect"),
    ],
)
def test_a_shard_that_kills_every_worker_is_given_up_and_told(how: str, why: str, tmp_path: Path) -> None:
    settings = Settings(1, 4 * BATCH, length=SETTINGS.length)
    report = run_on(Processes(2, partial(broken_runner, how, 9, tmp_path)), settings)
    assert report.failure == f"cases 20 to 39 were given up after {ATTEMPTS} attempts: {why}"
    assert report.cases == 2 * BATCH  # the other shards
    assert len(list(tmp_path.iterdir())) == 2 * ATTEMPTS


def test_a_campaign_ends_when_workers_can_do_nothing(tmp_path: Path) -> None:
    settings = Settings(1, 100 * BATCH, length=SETTINGS.length)
    report = run_on(Processes(2, partial(unopenable, tmp_path)), settings)
    assert "attempts: no target of this name" in str(report.failure)
    assert len(list(tmp_path.iterdir())) <= 4 * ATTEMPTS


@contextmanager
def unopenable(folder: Path) -> Iterator[Runner]:
    (folder / str(time.monotonic_ns())).touch()
    raise UserError("no target of this name")
    yield


def test_an_interrupt_keeps_what_was_found_and_leaves_no_process() -> None:
    told: list[int] = []

    def interrupt(report: Report) -> None:
        told.append(report.cases)
        if len(told) == 3:
            raise KeyboardInterrupt

    settings = Settings(1, 40 * BATCH, length=SETTINGS.length)
    report = conduct(Processes(2, opens(settings)), Memory(empty(settings)), interrupt)
    assert 0 < report.cases < 40 * BATCH
    assert report.cases == alone(Settings(1, report.cases, length=SETTINGS.length)).cases
    assert report.findings
    assert multiprocessing.active_children() == []


def test_a_second_interrupt_ends_workers_at_once(tmp_path: Path) -> None:
    def interrupt(report: Report) -> None:
        raise KeyboardInterrupt(report.target)

    report = conduct(Processes(2, partial(sleeping_runner, tmp_path)), Memory(empty()), interrupt)
    assert report.cases == 0
    assert multiprocessing.active_children() == []


class Sleeps:
    """A runner that interrupts the campaign a second time, and then does not end."""

    cpu_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, shard: Shard) -> Batch:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)
        raise AssertionError(shard)

    def close(self) -> None:
        (self._folder / "closed").touch()


@contextmanager
def sleeping_runner(folder: Path) -> Iterator[Runner]:
    runner = Sleeps(folder)
    try:
        yield runner
    finally:
        runner.close()


def test_a_terminals_interrupt_ends_a_campaign_well(tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal."""
    arguments = [sys.executable, "-m", "tests.fuzz.crews", str(tmp_path), "0", "2"]
    with subprocess.Popen(  # noqa: S603
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() == "0":
            pass
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert said.endswith("done\n")


def test_workers_end_with_a_campaign_that_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "tests.fuzz.crews", str(tmp_path), "0", "2"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        while process.stdout.readline().strip() in ("0", ""):
            pass
        workers = children(process.pid)
        process.kill()
    assert len(workers) >= 2
    await_end(workers)


def await_end(processes: list[int]) -> None:
    """Fails where one of them goes on for a minute."""
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{process}/stat").exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found
