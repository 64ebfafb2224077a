"""Says whether a target showed what it is held against on one trace, and if not, what that means."""

from dataclasses import dataclass
from typing import NamedTuple

from kvref.compare import Difference, differences, first_mismatch
from kvref.errors import ConfigurationError
from kvref.operations import Operation, Trace
from kvref.targets.base import CaseResult, LiveTarget, Target, digest
from kvref.targets.deviations import Catalogue, Deviation, Situation, met_at_construction, met_by
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


@dataclass(frozen=True)
class Terms:
    """What a target is held against, and what its user means to differ.

    `against` stands in for the reference. The entries of `known` read what any session shows, those of
    targets' own catalogues the reference's insides.
    """

    against: LiveTarget | None = None
    known: Catalogue = ()

    @property
    def name(self) -> str:
        """What reports call the other side."""
        return self.against.name if self.against is not None else "reference"

    def catalogue(self, target: Target) -> Catalogue:
        """What may differ between the two. What both are known to do explains no difference of theirs."""
        own = target.catalogue
        other = self.against.catalogue if self.against is not None else ()
        differing = [d for d in own if d not in other] + [d for d in other if d not in own]
        return (*self.known, *differing)


AGAINST_REFERENCE = Terms()


def judge(
    opener: Opener,
    target: Target,
    trace: Trace,
    expected: CaseResult,
    actual: CaseResult,
    terms: Terms = AGAINST_REFERENCE,
) -> Judgement:
    """Hold what the target showed on a trace against what the other side did; `opener` builds references.

    A target that did not answer is a finding, too.
    """
    if actual.fault is not None and (
        expected.refused or expected.digests[: len(actual.digests)] == actual.digests
    ):
        return Judgement(len(actual.digests), None, _unanswered(trace, len(actual.digests), actual.fault))
    if expected.refused and actual.refused:
        return Judgement(0)
    if expected.refused or actual.refused:
        known = met_at_construction(terms.catalogue(target), trace.configuration)
        told = Difference("construction", expected.refused or "built", actual.refused or "built")
        return Judgement(0, known, None if known else Finding(trace, None, (told,)))
    at = first_mismatch(expected, actual)
    if at is None:
        return Judgement(len(expected.digests))
    known = _known(opener, target, trace, expected.digests[:at], terms)
    return Judgement(at, known, None if known else explain(opener, target, trace, at, terms))


def _unanswered(trace: Trace, at: int, fault: str) -> Finding:
    operations = trace.operations[: at + 1]
    short = Trace(trace.configuration, operations, seed=trace.seed, case=trace.case)
    operation = operations[-1] if operations else None
    return Finding(short, operation, (Difference("the answer", "what the operation returns", fault),))


def replay_to(opener: Opener, trace: Trace, at: int) -> Situation:
    """The manager that `opener` builds, right before operation `at`."""
    session = opener(trace.configuration)
    for operation in trace.operations[:at]:
        session.apply(operation)
    return Situation(trace.configuration, session, trace.operations[at])


def explain(
    opener: Opener, target: Target, trace: Trace, at: int, terms: Terms = AGAINST_REFERENCE
) -> Finding:
    """What differs after operation `at`, and the trace up to it."""
    short = Trace(trace.configuration, trace.operations[: at + 1], seed=trace.seed, case=trace.case)
    session = replay_to(terms.against.opener if terms.against else opener, trace, at).session
    mine = Picture(session.apply(trace.operations[at]), session.view())
    theirs = target.picture(short)
    if len(theirs) <= at:
        error = theirs[-1].observation.error if theirs else "nothing"
        found = [Difference("operations performed", str(at + 1), f"{len(theirs)}, then {error}")]
    else:
        found = differences(mine, theirs[at])
    return Finding(short, short.operations[-1], tuple(found))


def _known(
    opener: Opener, target: Target, trace: Trace, agreed: tuple[bytes, ...], terms: Terms
) -> Deviation | None:
    """What explains a difference behind the `agreed` operations.

    Where both sides have left the reference together, its state tells nothing of theirs: then only the
    user's entries can say.
    """
    at = len(agreed)
    if terms.against is None:
        return met_by(terms.catalogue(target), replay_to(opener, trace, at))
    if _in_step(opener, trace, agreed):
        return met_by(terms.catalogue(target), replay_to(opener, trace, at))
    return met_by(terms.known, replay_to(terms.against.opener, trace, at))


def _in_step(opener: Opener, trace: Trace, agreed: tuple[bytes, ...]) -> bool:
    """Whether the reference shows the same as both sides have shown."""
    try:
        session = opener(trace.configuration)
    except ConfigurationError:
        return False
    return all(
        digest(session.apply(operation), session.view()) == shown
        for operation, shown in zip(trace.operations, agreed, strict=False)
    )
