"""Surveys one release: a campaign at level safe, its findings shrunk and recognised."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz import safe
from kvref.fuzz.coverage import Watch
from kvref.fuzz.play import play
from kvref.fuzz.settings import Settings
from kvref.fuzz.shows_safe import Safe, sort_of
from kvref.fuzz.shrink import shrink
from kvref.fuzz.tally import Report
from kvref.judge import Finding
from kvref.operations import Trace
from kvref.replay_safe import replay_safe
from kvref.survey.catalogue import Known, which
from kvref.survey.results import Outcome, Surveyed, Unknown

OPERATIONS_A_CASE = 60
ATTEMPTS = 400
"""So many attempts shrink a finding, to recognise it."""

SHRUNK = 3
"""So many findings of one sort are shrunk; the others count as what those are, if they are one."""

Tell = Callable[[str], None]


def survey_release(
    target: safe.SafeTarget, release: str, seed: int, operations: int, known: Sequence[Known], tell: Tell
) -> Surveyed:
    """Play cases until so many operations were checked, and say what was wrong."""
    began = time.monotonic()
    report = Report(target.name, Settings(seed, None, level="safe", length=OPERATIONS_A_CASE))
    findings: list[Finding] = []
    number = 0
    while report.operations < operations:
        safe.count(report, play(report.settings, number, target), findings.append)
        number += 1
    tell(f"{report.operations} operations, {len(findings)} findings to shrink")
    recognised = _Recognised(target, known)
    recognised.all(findings)
    return Surveyed(
        release=release,
        seed=seed,
        cases=report.cases,
        operations=report.operations,
        slots_checked=report.slots_checked,
        seconds=round(time.monotonic() - began, 1),
        by_feature=dict(sorted(report.by_feature.items())),
        by_pair=_nested(report.by_pair),
        lacking=dict(sorted(report.lacking.items())),
        refused=dict(report.refused.most_common()),
        findings=dict(sorted(recognised.counts.items())),
        met={name: sorted(met) for name, met in sorted(recognised.met.items())},
        unknown=recognised.unknown,
        replayed={one.id: outcome(one.trace, target) for one in known},
    )


def _nested(by_pair: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (kind, feature), operations in sorted(by_pair.items()):
        nested[kind][feature] = operations
    return dict(nested)


def looked_at_again(before: Surveyed, target: safe.SafeTarget, known: Sequence[Known]) -> Surveyed:
    """What was surveyed before, with the catalogue of today: nothing is played but traces."""
    recognised = _Recognised(target, known)
    recognised.counts.update(before.findings)
    for name, met in before.met.items():
        recognised.met[name] |= set(met)
    for one in before.unknown:
        recognised.trace(one.trace, (Difference(one.what, one.expected, one.actual),))
    replayed = {one.id: before.replayed.get(one.id) or outcome(one.trace, target) for one in known}
    return msgspec.structs.replace(
        before,
        findings=dict(sorted(recognised.counts.items())),
        met={name: sorted(met) for name, met in sorted(recognised.met.items())},
        unknown=recognised.unknown,
        replayed=replayed,
    )


def outcome(trace: Trace, target: safe.SafeTarget) -> Outcome:
    """What becomes of a finding's own trace on this release."""
    try:
        return "fault" if replay_safe(trace, target).wrong else "sound"
    except UserError:
        return "cannot be asked"


class _Recognised:
    """The findings of one release, by the catalogue's ids."""

    def __init__(self, target: safe.SafeTarget, known: Sequence[Known]) -> None:
        self.counts: Counter[str] = Counter()
        self.met: defaultdict[str, set[str]] = defaultdict(set)
        self.unknown: list[Unknown] = []
        self._target = target
        self._known = known

    def all(self, findings: Sequence[Finding]) -> None:
        """Recognise all findings, those of one sort together."""
        sorts: defaultdict[tuple[object, ...], list[Finding]] = defaultdict(list)
        for finding in findings:
            names = {getattr(operation, "request", "") for operation in finding.trace.operations}
            sorts[sort_of(finding.differences[0], names)].append(finding)
        for alike in sorts.values():
            seen = {self._one(finding) for finding in alike[:SHRUNK]}
            if len(seen) == 1 and None not in seen:
                self.counts.update(
                    {name: len(alike) - SHRUNK for name in seen if name and len(alike) > SHRUNK}
                )
            else:
                for finding in alike[SHRUNK:]:
                    self._one(finding)

    def _one(self, finding: Finding) -> str | None:
        small = shrink(finding.trace, Safe(self._target), budget=ATTEMPTS)
        return self.trace(*((small.trace, small.wrong) if small else (finding.trace, finding.differences)))

    def trace(self, trace: Trace, wrong: Sequence[Difference]) -> str | None:
        """Count a shrunk finding under its id, which is returned."""
        found = which(self._known, trace, wrong[0])
        if found is None:
            told = wrong[0]
            self.unknown.append(Unknown(told.what, told.expected, told.actual, trace))
            return None
        self.counts[found.id] += 1
        self.met[found.id] |= _features(trace, self._target)
        return found.id


def _features(trace: Trace, target: safe.SafeTarget) -> set[str]:
    watch = Watch(trace.configuration)
    session = target.opener(Safe(target).play(trace).trace.configuration)
    for operation in trace.operations:
        watch.see(operation, session.apply(operation), None, None)
    return watch.met
