"""Workers that are processes on this machine, each with a target of its own.

One that dies, of a signal or for want of memory, costs its shard alone; another one takes its place. They
end when this process does, however it ends: each waits on a pipe that only this process holds.
"""

import multiprocessing
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

import msgspec

from kvref.errors import UserError
from kvref.fuzz.interrupts import deferred, kept_from_children
from kvref.fuzz.settings import Shard
from kvref.fuzz.tally import Report, decode, encode
from kvref.fuzz.workers import Done, OpenRunner, Runner

END_SECONDS = 10.0
"""A worker that has been told to end has so long."""


class Ran(msgspec.Struct, frozen=True, tag=True):
    """A shard is done."""

    report: Report


class Lost(msgspec.Struct, frozen=True, tag=True):
    """A shard is not done, and the worker can do no other."""

    why: str


Answer = Ran | Lost


def answer(runner: Runner, shard: Shard) -> Answer:
    """Run a shard, and say what was seen. Whatever goes wrong is told in one line."""
    before = runner.cpu_seconds
    try:
        batch = runner.begin(shard)
        batch.settle()
        batch.report.cpu_seconds = runner.cpu_seconds - before
    except UserError as failure:
        return Lost(str(failure))
    except Exception as defect:  # noqa: BLE001 - a defect of ours: it ends this worker, not the campaign
        return Lost(f"{type(defect).__name__}: {defect}")
    return Ran(batch.report)


def work(connection: Connection, open_runner: OpenRunner) -> None:
    """A worker's life: shards come, reports go, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(EOFError, OSError):
        try:
            with open_runner() as runner:
                while True:
                    shard = decode(connection.recv_bytes(), Shard)
                    reply = answer(runner, shard)
                    connection.send_bytes(encode(reply))
                    if isinstance(reply, Lost):
                        return
        except UserError as failure:
            connection.send_bytes(encode(Lost(str(failure))))


class _Worker(NamedTuple):
    process: SpawnProcess
    connection: Connection

    def end(self) -> str:
        """Have it end, if it has not; returns how it did."""
        self.connection.close()
        self.process.join(END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.process.close()
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class Processes:
    """So many processes at the most; they start when they are needed."""

    def __init__(self, count: int, open_runner: OpenRunner) -> None:
        self._count = count
        self._open_runner = open_runner
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, Shard]] = {}

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._busy)

    @property
    def full(self) -> bool:
        """Every process has its shard."""
        return len(self._busy) >= self._count

    def submit(self, shard: Shard) -> None:
        """Give the shard to an idle process, or to a new one."""
        with deferred():
            worker = self._idle.pop() if self._idle else self._start()
            self._busy[worker.connection] = worker, shard
            with suppress(OSError):  # it has died: `wait` will tell
                worker.connection.send_bytes(encode(shard))

    def wait(self) -> list[Done]:
        """Wait for shards that are done, at least one."""
        ready = wait(list(self._busy))
        with deferred():
            return [self._receive(one) for one in ready if isinstance(one, Connection)]

    def close(self) -> None:
        """End all processes, those at work too."""
        with deferred():
            for worker, _ in self._busy.values():
                worker.process.terminate()
            for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
                worker.end()
            self._idle.clear()
            self._busy.clear()

    def _receive(self, connection: Connection) -> Done:
        worker, shard = self._busy.pop(connection)
        try:
            reply: Answer = decode(connection.recv_bytes(), Answer)  # type: ignore[arg-type]
        except (EOFError, OSError):
            return Done(shard, lost=f"its worker {worker.end()}")
        if isinstance(reply, Lost):
            worker.end()
            return Done(shard, lost=reply.why)
        self._idle.append(worker)
        return Done(shard, reply.report)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._open_runner), daemon=True)
        with kept_from_children():
            process.start()
        theirs.close()
        return _Worker(process, ours)
