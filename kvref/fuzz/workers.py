"""Who runs shards of cases: this process, or `processes` and `cluster` beside it.

A `Runner` has an open target and knows the level. `Workers` have one each; what they give back adds up to
the same report, however many they are.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from kvref.errors import UserError
from kvref.fuzz.settings import Shard
from kvref.fuzz.tally import Report


class Batch(Protocol):
    """A shard that has begun."""

    @property
    def report(self) -> Report:
        """What was seen of it so far."""

    def settle(self) -> None:
        """Run it to its end. Raises UserError if the target cannot go on."""


class Runner(Protocol):
    """Runs shards on an open target."""

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far, in this process and the target's."""

    def begin(self, shard: Shard) -> Batch:
        """Draw a shard's cases, and have the target run them meanwhile if it is another process."""

    def close(self) -> None:
        """Let go of threads. Whoever opened the target closes it."""


OpenRunner = Callable[[], AbstractContextManager[Runner]]
"""Opens a target, and closes it in the end. It is sent to other processes. Raises UserError."""


@dataclass(frozen=True)
class Done:
    """What became of a shard.

    If its worker was `lost`, or its target, that says why, and the shard is to be run again. `stopped`
    is why nothing can go on: `report` holds what was seen until then.
    """

    shard: Shard
    report: Report | None = None
    lost: str | None = None
    stopped: BaseException | None = None


class Workers(Protocol):
    """Runs shards, some at once."""

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for."""

    @property
    def full(self) -> bool:
        """Whether something should be waited for before more is submitted."""

    def submit(self, shard: Shard) -> None:
        """Have a shard run."""

    def wait(self) -> list[Done]:
        """Wait for shards that are done, at least one."""

    def close(self) -> None:
        """End all workers, at once."""


class Here:
    """The process itself: while the target runs one shard, the next one is drawn."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: deque[tuple[Shard, Batch]] = deque()
        self._cpu_seconds = runner.cpu_seconds

    @property
    def busy(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """One shard is at work, and one more is drawn."""
        return len(self._waiting) > 1

    def submit(self, shard: Shard) -> None:
        """Draw the cases."""
        self._waiting.append((shard, self._runner.begin(shard)))

    def wait(self) -> list[Done]:
        """Run the shard that was submitted first to its end."""
        shard, batch = self._waiting.popleft()
        stopped: BaseException | None = None
        try:
            batch.settle()
        except (UserError, KeyboardInterrupt) as reason:
            stopped = reason
        now = self._runner.cpu_seconds
        batch.report.cpu_seconds, self._cpu_seconds = now - self._cpu_seconds, now
        return [Done(shard, batch.report, stopped=stopped)]

    def close(self) -> None:
        """Let go of threads. Whoever opened the target closes it."""
        self._runner.close()
