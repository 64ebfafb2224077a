"""A campaign: many cases, drawn here and run on a target, held against each other.

While the target runs one batch the next one is drawn. Everything depends on the seed alone, so that
a finding is repeated by its seed and number.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

from invariants.view import View
from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.cases import Case, Notice, draw_case, is_careful
from kvref.fuzz.configurations import Profile
from kvref.fuzz.coverage import Coverage
from kvref.judge import Finding, judge
from kvref.operations import Configuration, Observation, Operation
from kvref.targets.base import CaseResult, Target
from kvref.targets.picture import Opener
from kvref.witness import Witness

if TYPE_CHECKING:
    from kvref.dataplane.safety import Safety

Level = Literal["exact", "invariants"]

BATCH = 40
WITNESSED = 10
"""At level exact the invariants are checked on one case in so many, unless more is asked for."""

SHOWN = 8
"""So many broken invariants are told of one case."""


@dataclass(frozen=True)
class Settings:
    """What a campaign does. `cases` or `seconds` ends it; `length` is operations a case.

    At level exact the invariants are checked on one case in `witnessed`; a target that agrees has
    shown the same, so that it keeps them as well.
    """

    seed: int
    cases: int | None
    seconds: float | None
    profile: Profile = "mixed"
    level: Level = "exact"
    length: int = 60
    first: int = 0
    witnessed: int = WITNESSED


@dataclass
class Report:
    """What a campaign has seen so far.

    `operations` counts those that were compared; `lengths` has them by case. `coverage` counts the
    cases that were compared to their full length. `slots_checked` counts slots of tokens and states that
    the data plane saw read. `failure` is why the target could not go on.
    """

    target: str
    settings: Settings
    cases: int = 0
    operations: int = 0
    refused_by_both: int = 0
    configurations: set[Configuration] = field(default_factory=set)
    lengths: list[int] = field(default_factory=list)
    whole: int = 0
    deviations: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    witnessed: int = 0
    slots_checked: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    failure: UserError | None = None

    @property
    def rate(self) -> float:
        """Compared operations for each second of processor time, all processes together."""
        return self.operations / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def whole_share(self) -> float:
        """The share of the cases with operations that were compared to their full length."""
        return self.whole / len(self.lengths) if self.lengths else 1.0

    @property
    def median_length(self) -> int:
        """Operations compared in the median case."""
        return int(median(self.lengths)) if self.lengths else 0


def run(settings: Settings, opener: Opener, target: Target, on_batch: Callable[[Report], None]) -> Report:
    """Run a campaign.

    Ctrl-C ends it after the batches that run already; so does a target that can no longer be used.
    Either way what was found is kept.
    """
    report = Report(target.name, settings)
    clock = _Clock(target)
    waiting: deque[tuple[list[Case], Future[list[CaseResult]]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as runner:
        try:
            with suppress(KeyboardInterrupt):
                for batch in _batches(settings, opener, target, report, clock):
                    waiting.append((batch, runner.submit(_results, settings, target, batch)))
                    if len(waiting) > 1:
                        _settle(report, opener, target, *waiting.popleft())
                    clock.note(report)
                    on_batch(report)
            while waiting:
                _settle(report, opener, target, *waiting.popleft())
        except KeyboardInterrupt:
            pass
        except UserError as failure:
            report.failure = failure
    clock.note(report)
    with suppress(KeyboardInterrupt):
        on_batch(report)
    return report


def _results(settings: Settings, target: Target, batch: list[Case]) -> list[CaseResult]:
    """What the target shows. At level invariants the cases were played on the target itself."""
    if settings.level == "invariants":
        return [case.expected for case in batch]
    return target.run([case.trace for case in batch])


class _Clock:
    """Wall and processor time since the campaign began."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._wall = time.monotonic()
        self._cpu = time.process_time() + target.cpu_seconds

    def note(self, report: Report) -> None:
        report.wall_seconds = time.monotonic() - self._wall
        report.cpu_seconds = time.process_time() + self._target.cpu_seconds - self._cpu

    def elapsed(self) -> float:
        return time.monotonic() - self._wall


def _batches(
    settings: Settings, opener: Opener, target: Target, report: Report, clock: _Clock
) -> Iterator[list[Case]]:
    number = settings.first
    end = None if settings.cases is None else settings.first + settings.cases
    while (end is None or number < end) and (settings.seconds is None or clock.elapsed() < settings.seconds):
        count = BATCH if end is None else min(BATCH, end - number)
        yield [_draw(settings, n, opener, target, report) for n in range(number, number + count)]
        number += count


def _draw(settings: Settings, number: int, opener: Opener, target: Target, report: Report) -> Case:
    """Draw a case; hold the reference against the invariants on some, and careful ones against the data."""
    broken: list[tuple[Operation, Difference]] = []
    witnessed = settings.level == "invariants" or number % settings.witnessed == 0
    safety_of = _data_plane() if is_careful(number) else None
    following: list[Safety] = []

    def notice(configuration: Configuration) -> Notice:
        witness = Witness(configuration) if witnessed else None
        report.witnessed += witnessed
        if safety_of is not None:
            following.append(safety_of(configuration, opener, as_specified=True))

        def see(operation: Operation, observation: Observation, view: View) -> None:
            if witness is not None:
                found = witness.sees(operation, observation, view)
                broken.extend((operation, Difference(v.invariant, "holds", v.message)) for v in found)
            # After a caller's mistake there is nothing to follow.
            for safety in following if observation.error is None else ():
                broken.extend((operation, wrong) for wrong in safety.sees(operation, observation))

        return see

    case = draw_case(
        settings.seed,
        settings.profile,
        number,
        settings.length,
        opener,
        target.catalogue,
        notice if witnessed or safety_of is not None else None,
    )
    report.slots_checked += sum(safety.checked for safety in following)
    if broken:
        told = tuple(difference for _, difference in broken[:SHOWN])
        report.findings.append(Finding(case.trace, broken[0][0], told))
    return case


def _data_plane() -> "type[Safety] | None":
    """What follows careful cases, where torch is installed."""
    try:
        from kvref.dataplane.safety import Safety  # noqa: PLC0415 - torch is optional, and slow
    except ModuleNotFoundError as absent:
        if absent.name != "torch":
            raise
        return None
    return Safety


def _settle(
    report: Report, opener: Opener, target: Target, batch: list[Case], future: Future[list[CaseResult]]
) -> None:
    for case, result in zip(batch, future.result(), strict=True):
        report.cases += 1
        report.configurations.add(case.trace.configuration)
        report.refused_by_both += bool(case.expected.refused and result.refused)
        judgement = judge(opener, target, case.trace, case.expected, result)
        if judgement.known is not None:
            report.deviations[judgement.known.id] += 1
        if judgement.finding is not None:
            report.findings.append(judgement.finding)
        if not case.trace.operations:
            continue
        report.operations += judgement.agreed
        report.lengths.append(judgement.agreed)
        if judgement.agreed == len(case.trace.operations):
            report.whole += 1
            report.coverage.add(case.coverage)
