"""A campaign: shards of cases are given to workers, and what they saw is added up.

Everything depends on the seed alone, so that a finding is repeated by its seed and number, and workers,
slices and interruptions do not change what is found.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Protocol

from kvref.errors import UserError
from kvref.fuzz.exact import ExactRunner
from kvref.fuzz.interrupts import deferred
from kvref.fuzz.settings import WITNESSED, Level, Settings, Shard, ShardNumber
from kvref.fuzz.tally import Report
from kvref.fuzz.workers import Done, Here, Workers
from kvref.judge import AGAINST_REFERENCE, Terms
from kvref.targets.base import Target
from kvref.targets.picture import Opener

__all__ = ["WITNESSED", "Level", "Report", "Settings", "conduct", "run"]

ATTEMPTS = 3
"""A shard that loses its worker so many times is given up."""

MOST_GIVEN_UP = 3
"""So many shards may be given up before the campaign ends."""

OnBatch = Callable[[Report], None]


class Ledger(Protocol):
    """Keeps what is done, so that a campaign goes on after any end."""

    @property
    def report(self) -> Report:
        """What was seen before."""

    def is_finished(self, shard: ShardNumber) -> bool:
        """Whether a shard is part of the report already."""

    def finish(self, shard: ShardNumber) -> None:
        """A shard has become part of the report. Nothing is kept yet."""

    def keep(self) -> None:
        """Keep the report, and which shards are part of it. Raises UserError."""


class Memory:
    """A ledger that is lost with the process."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def is_finished(self, shard: ShardNumber) -> bool:
        """Nothing was done before."""
        del shard
        return False

    def finish(self, shard: ShardNumber) -> None:
        """Nothing to keep."""

    def keep(self) -> None:
        """Nothing to keep."""


def run(
    settings: Settings,
    opener: Opener,
    target: Target,
    on_batch: OnBatch,
    terms: Terms = AGAINST_REFERENCE,
) -> Report:
    """Run a campaign at level exact or invariants in this process. `opener` builds references."""
    runner = ExactRunner(settings, opener, target, terms)
    return conduct(Here(runner), Memory(Report(target.name, settings, against=terms.name)), on_batch)


def conduct(workers: Workers, ledger: Ledger, on_batch: OnBatch) -> Report:
    """Run the shards that the ledger does not have, and close the workers.

    Ctrl-C ends it after the shards that run already, a second one at once; so does a target that can
    no longer be used. Either way what was found is kept.
    """
    campaign = _Campaign(workers, ledger, on_batch)
    with closing(workers), suppress(KeyboardInterrupt):
        try:
            campaign.run()
        except KeyboardInterrupt:
            campaign.run_out()
    campaign.note()
    with suppress(KeyboardInterrupt):
        on_batch(ledger.report)
    return ledger.report


class _Campaign:
    def __init__(self, workers: Workers, ledger: Ledger, on_batch: OnBatch) -> None:
        self.report = ledger.report
        self._workers = workers
        self._ledger = ledger
        self._on_batch = on_batch
        self._attempts: Counter[ShardNumber] = Counter()
        self._given_up: dict[ShardNumber, str] = {}
        self._ending = False
        self._began = time.monotonic()
        self._before = self.report.wall_seconds

    def run(self) -> None:
        """Give out all shards, and wait for them."""
        with self._failing():
            for shard in self._due():
                self._workers.submit(shard)
                while self._workers.full:
                    self._take(self._workers.wait())
                self.note()
                self._on_batch(self.report)
        self._drain()

    def run_out(self) -> None:
        """Wait for what runs still; nothing is begun, nor run again."""
        self._ending = True
        self._drain()

    def _drain(self) -> None:
        with self._failing():
            while self._workers.busy:
                self._take(self._workers.wait())
                self.note()
                self._on_batch(self.report)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """A failure ends the campaign; the first one is told."""
        try:
            yield
        except UserError as failure:
            self._ending = True
            self.report.failure = self.report.failure or str(failure)

    def note(self) -> None:
        """Note the time."""
        self.report.wall_seconds = self._before + self._elapsed()

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _due(self) -> Iterator[Shard]:
        settings = self.report.settings
        for shard in settings.shards():
            if settings.seconds is not None and self._elapsed() >= settings.seconds:
                return
            if not self._ledger.is_finished(shard.number):
                yield shard

    def _take(self, finished: list[Done]) -> None:
        """Add up what is done, and keep it; what was lost runs again.

        Of a shard that was stopped in the middle what was seen is told, and not kept: it runs again, whole,
        when the campaign goes on.
        """
        with deferred():
            whole = [done for done in finished if done.report is not None and done.stopped is None]
            for done in whole:
                self._add(done)
                self._ledger.finish(done.shard.number)
            self.note()
            if whole:
                self._ledger.keep()
        for done in finished:
            if done.lost is not None:
                self._again(done.shard, done.lost)
            if done.stopped is not None:
                self._add(done)
                raise done.stopped

    def _add(self, done: Done) -> None:
        if done.report is not None:
            self.report.merge(done.report)

    def _again(self, shard: Shard, why: str) -> None:
        self._attempts[shard.number] += 1
        if self._ending:
            return
        if self._attempts[shard.number] < ATTEMPTS:
            self._workers.submit(shard)
            return
        self._given_up[shard.number] = f"{shard} were given up after {ATTEMPTS} attempts: {why}"
        # The first one by number is told, whichever was given up first.
        self.report.failure = self._given_up[min(self._given_up)]
        if len(self._given_up) >= MOST_GIVEN_UP:
            raise UserError(self.report.failure)
