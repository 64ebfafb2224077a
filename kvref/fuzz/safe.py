"""A campaign at level `safe`: cases are played on the target itself, with data behind its block ids.

The target is asked for ids and hit lengths alone, and follows its own choices; nothing is compared.
`kvref.fuzz.play` plays the cases, and needs torch.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Protocol, runtime_checkable

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.configurations import Profile
from kvref.fuzz.coverage import FEATURES, KINDS, Coverage
from kvref.judge import Finding
from kvref.operations import Configuration, Trace
from kvref.targets.base import Target
from kvref.targets.capabilities import Capabilities
from kvref.targets.picture import Opener

BATCH = 20


@runtime_checkable
class SafeTarget(Target, Protocol):
    """A target whose managers can be built and asked one operation at a time."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked."""

    @property
    def opener(self) -> Opener:
        """Builds its managers. A manager may be gone when the next one is built."""


@dataclass(frozen=True)
class Settings:
    """What a campaign does. `cases` or `seconds` ends it; `length` is operations a case.

    The invariants of a target that shows its state are checked on one case in `witnessed`.
    """

    seed: int
    cases: int | None
    seconds: float | None = None
    profile: Profile = "mixed"
    length: int = 60
    first: int = 0
    witnessed: int = 10


@dataclass
class Report:
    """What a campaign has seen so far. `checked` counts slots whose content was read and checked."""

    target: str
    settings: Settings
    cases: int = 0
    operations: int = 0
    checked: int = 0
    conflated: int = 0
    lacking: Counter[str] = field(default_factory=Counter)
    """Why the target could not be asked for configurations that were drawn."""
    refused: Counter[str] = field(default_factory=Counter)
    configurations: set[Configuration] = field(default_factory=set)
    coverage: Coverage = field(default_factory=Coverage)
    by_feature: Counter[str] = field(default_factory=Counter)
    """Operations of the cases that had a kind or feature."""
    by_pair: Counter[tuple[str, str]] = field(default_factory=Counter)
    """The same of those that had both a kind and a feature."""
    deviations: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    failure: UserError | None = None

    @property
    def rate(self) -> float:
        """Checked operations for each second of processor time, all processes together."""
        return self.operations / self.cpu_seconds if self.cpu_seconds else 0.0


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


def run(
    settings: Settings,
    target: SafeTarget,
    play: Play,
    recognise: Recognise,
    on_batch: Callable[[Report], None],
) -> Report:
    """Run a campaign.

    Ctrl-C ends it, and so does a target that can no longer be used; what was found is kept.
    """
    report = Report(target.name, settings)
    wall, cpu = time.monotonic(), time.process_time() + target.cpu_seconds
    number = settings.first
    end = None if settings.cases is None else settings.first + settings.cases
    try:
        while end is None or number < end:
            report.wall_seconds = time.monotonic() - wall
            if settings.seconds is not None and report.wall_seconds >= settings.seconds:
                break
            count(report, play(settings, number, target), recognise)
            number += 1
            report.cpu_seconds = time.process_time() + target.cpu_seconds - cpu
            if number % BATCH == 0:
                on_batch(report)
    except KeyboardInterrupt:
        pass
    except UserError as failure:
        report.failure = failure
    report.wall_seconds = time.monotonic() - wall
    with suppress(KeyboardInterrupt):
        on_batch(report)
    return report


def count(report: Report, played: Played, recognise: Recognise) -> None:
    """Add one case to a report."""
    report.cases += 1
    report.configurations.add(played.trace.configuration)
    report.lacking.update(played.lacking)
    if played.refused is not None:
        report.refused[played.refused] += 1
        return
    report.operations += len(played.trace.operations)
    report.checked += played.checked
    report.conflated += played.conflated
    report.coverage.add(played.coverage)
    operations, met = len(played.trace.operations), played.met
    report.by_feature.update(dict.fromkeys(met, operations))
    report.by_pair.update(
        dict.fromkeys(product(met.intersection(KINDS), met.intersection(FEATURES)), operations)
    )
    if played.wrong:
        finding = Finding(played.trace, played.trace.operations[-1], played.wrong)
        known = recognise(finding)
        if known is None:
            report.findings.append(finding)
        else:
            report.deviations[known] += 1
