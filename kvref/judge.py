"""Says whether a target showed what the reference showed on one trace, and if not, what that means."""

from dataclasses import dataclass
from typing import NamedTuple

from kvref.compare import Difference, differences, first_mismatch
from kvref.operations import Operation, Trace
from kvref.targets.base import CaseResult, Target
from kvref.targets.deviations import Deviation, Situation, met_at_construction, met_by
from kvref.targets.picture import Opener, Picture


@dataclass(frozen=True)
class Finding:
    """A divergence that no catalogue knows, or a broken invariant: `trace` ends with it."""

    trace: Trace
    operation: Operation | None
    differences: tuple[Difference, ...]

    @property
    def title(self) -> str:
        """In one line."""
        what = "construction" if self.operation is None else type(self.operation).__name__
        return f"case {self.trace.case}: {what} differs in {', '.join(d.what for d in self.differences[:3])}"


class Judgement(NamedTuple):
    """How many operations agreed, and what ended that: a known deviation, a finding, or nothing."""

    agreed: int
    known: Deviation | None = None
    finding: Finding | None = None


def judge(
    opener: Opener, target: Target, trace: Trace, expected: CaseResult, actual: CaseResult
) -> Judgement:
    """Hold what the target showed on a trace against what the reference showed."""
    if expected.refused and actual.refused:
        return Judgement(0)
    if expected.refused or actual.refused:
        known = met_at_construction(target.catalogue, trace.configuration)
        told = Difference("construction", expected.refused or "built", actual.refused or "built")
        return Judgement(0, known, None if known else Finding(trace, None, (told,)))
    at = first_mismatch(expected, actual)
    if at is None:
        return Judgement(len(expected.digests))
    known = met_by(target.catalogue, replay_to(opener, trace, at))
    return Judgement(at, known, None if known else explain(opener, target, trace, at))


def replay_to(opener: Opener, trace: Trace, at: int) -> Situation:
    """The reference right before operation `at`."""
    session = opener(trace.configuration)
    for operation in trace.operations[:at]:
        session.apply(operation)
    return Situation(trace.configuration, session, trace.operations[at])


def explain(opener: Opener, target: Target, trace: Trace, at: int) -> Finding:
    """What differs after operation `at`, and the trace up to it."""
    short = Trace(trace.configuration, trace.operations[: at + 1], seed=trace.seed, case=trace.case)
    session = replay_to(opener, trace, at).session
    mine = Picture(session.apply(trace.operations[at]), session.view())
    theirs = target.picture(short)
    if len(theirs) <= at:
        error = theirs[-1].observation.error if theirs else "nothing"
        found = [Difference("operations performed", str(at + 1), f"{len(theirs)}, then {error}")]
    else:
        found = differences(mine, theirs[at])
    return Finding(short, short.operations[-1], tuple(found))
