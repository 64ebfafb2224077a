"""Level safe: cases are played on the target itself, with data behind its block ids.

The target is asked for ids and hit lengths alone, and follows its own choices; nothing is compared.
`kvref.fuzz.play` plays the cases, and needs torch.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.coverage import FEATURES, KINDS, Coverage
from kvref.fuzz.settings import Settings, Shard
from kvref.fuzz.tally import Report
from kvref.judge import Finding
from kvref.operations import Trace
from kvref.targets.base import LiveTarget, Target

SafeTarget = LiveTarget
"""What level `safe` can ask."""


def require_live(target: Target) -> SafeTarget:
    """The target. Raises UserError if it cannot be asked one operation at a time."""
    if not isinstance(target, LiveTarget):
        raise UserError(f"{target.name} cannot be asked one operation at a time: use --level exact")
    return target


@dataclass(frozen=True)
class Played:
    """One case. `refused` tells why it could not be built; `wrong` is what was wrong, if anything."""

    trace: Trace
    wrong: tuple[Difference, ...] = ()
    refused: str | None = None
    checked: int = 0
    conflated: int = 0
    coverage: Coverage = field(default_factory=Coverage)
    met: frozenset[str] = frozenset()
    """The kinds and features that it had."""
    lacking: tuple[str, ...] = ()
    """Why configurations that were drawn before could not be asked for."""


Play = Callable[[Settings, int, SafeTarget], Played]
"""Plays the case of this number."""

Recognise = Callable[[Finding], str | None]
"""The id under which a finding is known, None if it is new."""


class SafeRunner:
    """Plays cases on a target."""

    def __init__(self, settings: Settings, target: SafeTarget, play: Play, recognise: Recognise) -> None:
        self.settings = settings
        self.target = target
        self.play = play
        self.recognise = recognise

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far, in this process and the target's."""
        return time.process_time() + self.target.cpu_seconds

    def begin(self, shard: Shard) -> "SafeBatch":
        """Nothing is drawn before it is played."""
        return SafeBatch(self, shard)

    def close(self) -> None:
        """Nothing to let go of but the target, which is its opener's."""


class SafeBatch:
    """Cases to be played."""

    def __init__(self, runner: SafeRunner, shard: Shard) -> None:
        self.report = Report(runner.target.name, runner.settings)
        self._runner = runner
        self._shard = shard

    def settle(self) -> None:
        """Play every case."""
        runner = self._runner
        for number in self._shard:
            count(self.report, runner.play(runner.settings, number, runner.target), runner.recognise)


def count(report: Report, played: Played, recognise: Recognise) -> None:
    """Add one case to a report."""
    report.cases += 1
    report.add_configuration(played.trace.configuration)
    report.lacking.update(played.lacking)
    if played.refused is not None:
        # Without its numbers: there are few reasons, and many configurations.
        report.refused[re.sub(r"\d+", "#", played.refused)] += 1
        return
    report.operations += len(played.trace.operations)
    report.slots_checked += played.checked
    report.conflated += played.conflated
    report.coverage.add(played.coverage)
    operations, met = len(played.trace.operations), played.met
    report.by_feature.update(dict.fromkeys(met, operations))
    report.by_pair.update(
        dict.fromkeys(product(met.intersection(KINDS), met.intersection(FEATURES)), operations)
    )
    if played.wrong:
        last = played.trace.operations[-1] if played.trace.operations else None
        finding = Finding(played.trace, last, played.wrong)
        known = recognise(finding)
        if known is None:
            report.found.add(finding)
        else:
            report.deviations[known] += 1
