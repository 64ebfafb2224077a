"""A divergence from the reference is shrunk to a few operations that show the same one."""

from collections.abc import Iterator, Sequence
from functools import cache
from statistics import median

import msgspec
import pytest

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.fuzz.cases import draw_case
from kvref.fuzz.mending import Mending
from kvref.fuzz.shows import Shown, bare, names_of
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shrink import Shrunk, shrink
from kvref.judge import Finding, judge
from kvref.operations import Evict, Free, Lookup, NewRequest, Observation, Operation, Trace
from kvref.protocol import Scheduler
from kvref.targets.base import CaseResult, digest
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession
from tests.fuzz.faults import (
    FAULTS,
    Fault,
    FaultyTarget,
    FreesInReverse,
    HitsTheYoungestDuplicate,
    IgnoresUnknownBlocks,
    turned,
)
from tests.optimized.faults import FAULTS as OPTIMIZED_FAULTS

MOST = 8
"""A fault of one line shows in so many operations at the most."""

USUAL = 5
"""What most faults take: an arrival, a step, an allocation, and what shows it."""

ENDLESS = "a hit block stays in the queue"
"""A manager with this fault may loop for ever."""


class Recorder(FaultyTarget):
    """What the manager or its picture raises is told as what the operation returned."""

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        results = []
        for trace in traces:
            try:
                results.append(CaseResult(tuple(digest(*seen) for seen in self._seen(trace))))
            except ConfigurationError as refusal:
                results.append(CaseResult(refused=str(refusal)))
        return results

    def picture(self, trace: Trace) -> list[Picture]:
        return [Picture(*seen) for seen in self._seen(trace)]

    def _seen(self, trace: Trace) -> Iterator[tuple[Observation, View]]:
        session = self.opener(trace.configuration)
        view = session.view()
        for operation in trace.operations:
            try:
                observation = session.apply(operation)
                view = session.view()
            except (AssertionError, LookupError, ValueError) as raised:
                observation = Observation(error=f"{type(raised).__name__}: {raised}")
            yield observation, view
            if observation.error is not None:
                return


def findings(target: FaultyTarget, length: int = 60) -> Iterator[Finding]:
    for number in range(300):
        case = draw_case(1, "mixed", number, length, ReferenceSession, ())
        (actual,) = target.run([case.trace])
        finding = judge(ReferenceSession, target, case.trace, case.expected, actual).finding
        if finding is not None:
            yield finding


def first_finding(target: FaultyTarget) -> Finding:
    return next(findings(target))


def shrunk(finding: Finding, target: FaultyTarget) -> Shrunk:
    found = shrink(finding.trace, Exact(ReferenceSession, target, finding.trace))
    assert found is not None
    return found


def check(finding: Finding, small: Shrunk, target: FaultyTarget) -> None:
    """It is legal, and shows when it is played as it stands what the finding shows."""
    trace = small.trace
    scheduler = Scheduler(trace.configuration.max_model_len, drafts=trace.configuration.max_model_len)
    expected = []
    if trace.operations:
        session = ReferenceSession(trace.configuration)
        for operation in trace.operations:
            seen = session.apply(operation)
            expected.append(digest(seen, session.view()))
            if seen.error is None:
                assert scheduler.violation(operation) is None
                scheduler.record(operation, seen)
            else:
                assert operation is trace.operations[-1]
        (actual,) = target.run([trace])
        judged = judge(ReferenceSession, target, trace, CaseResult(tuple(expected)), actual)
        assert judged.finding is not None
        assert judged.finding.trace.operations == trace.operations
        assert judged.finding.differences == small.wrong
    last = trace.operations[-1] if trace.operations else None
    assert type(last) is type(finding.operation)
    names = names_of(finding.trace) | names_of(trace)
    assert bare(small.wrong[0].what, names) == bare(finding.differences[0].what, names)


@cache
def shrunk_fault(fault: type[Fault]) -> tuple[FaultyTarget, Finding, Shrunk]:
    target = FaultyTarget(fault)
    finding = first_finding(target)
    return target, finding, shrunk(finding, target)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_of_the_reference_is_shown_in_a_few_operations(fault: type[Fault]) -> None:
    target, finding, small = shrunk_fault(fault)
    assert len(small.trace.operations) <= MOST
    assert small.ending == "minimal"
    check(finding, small, target)
    assert shrunk(finding, target) == small


@pytest.mark.parametrize("fault", [name for name in OPTIMIZED_FAULTS if name != ENDLESS])
def test_a_fault_of_the_optimized_manager_is_shown_in_a_few_operations(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, faulty = OPTIMIZED_FAULTS[fault]
    monkeypatch.setattr(place, name, faulty(getattr(place, name)))
    target = Recorder(OptimizedSession)
    finding = first_finding(target)
    small = shrunk(finding, target)
    assert len(small.trace.operations) <= MOST
    check(finding, small, target)


def test_most_faults_take_no_more_than_what_any_history_takes() -> None:
    assert median(len(shrunk_fault(fault)[2].trace.operations) for fault in FAULTS) <= USUAL


class FreesRarePromptsInReverse(FreesInReverse):
    """Those whose tokens add up to a multiple of 256."""

    def apply(self, operation: Operation) -> Observation:
        before = set(self.manager.pool.free_queue)
        seen = ReferenceSession.apply(self, operation)
        if isinstance(operation, Free) and not sum(self.requests[operation.request].all_token_ids) % 256:
            turned(self, before)
        return seen


def test_thousands_of_operations_become_a_few() -> None:
    target = FaultyTarget(FreesRarePromptsInReverse)
    finding = next(one for one in findings(target, 4000) if len(one.trace.operations) > 1000)
    small = shrunk(finding, target)
    assert len(small.trace.operations) <= USUAL
    check(finding, small, target)


class TwoFaults(HitsTheYoungestDuplicate):
    """The other one takes two operations: a hit in a prompt of one token is told."""

    def apply(self, operation: Operation) -> Observation:
        seen = super().apply(operation)
        if isinstance(operation, Lookup) and self.requests[operation.request].num_tokens == 1:
            return msgspec.structs.replace(seen, tokens=1)
        return seen


def test_another_fault_that_is_shown_sooner_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FaultyTarget(TwoFaults)
    finding = next(one for one in findings(target) if one.differences[0].what == "blocks")
    check(finding, shrunk(finding, target), target)
    monkeypatch.setattr(Exact, "is_same", lambda _self, _first, other: bool(other.differences))
    assert [one.what for one in shrunk(finding, target).wrong] == ["tokens"]


def test_a_callers_mistake_stays_one() -> None:
    target = FaultyTarget(IgnoresUnknownBlocks)
    small = shrunk(first_finding(target), target)
    (mistake,) = small.trace.operations
    assert isinstance(mistake, Evict)
    assert all(block >= small.trace.configuration.num_blocks for block in mistake.blocks)


def test_what_was_drawn_is_legal_as_it_stands() -> None:
    for number in range(80):
        case = draw_case(3, "mixed", number, 60, ReferenceSession, ())
        assert Mending(ReferenceSession, case.trace).perform(case.trace) == (case.trace, case.expected)


def test_a_manager_that_raises_on_a_smaller_trace_does_not_end_it() -> None:
    class Raises(FreesInReverse):
        def apply(self, operation: Operation) -> Observation:
            if isinstance(operation, NewRequest) and operation.request == "a":
                raise ZeroDivisionError
            return super().apply(operation)

    target = FaultyTarget(Raises)
    finding = first_finding(target)
    small = shrunk(finding, target)
    assert len(small.trace.operations) <= MOST
    assert "a" not in names_of(small.trace)


def test_ctrl_c_keeps_the_smallest_so_far() -> None:
    target = FaultyTarget(FreesInReverse)
    finding = first_finding(target)

    def interrupt(_: int, left: int) -> None:
        if left < len(finding.trace.operations):
            raise KeyboardInterrupt

    shows = Exact(ReferenceSession, target, finding.trace)
    small = shrink(finding.trace, shows, progress=interrupt)
    assert small is not None
    assert small.ending == "interrupt"
    assert len(small.trace.operations) < len(finding.trace.operations)
    check(finding, small, target)


def test_the_budget_bounds_attempts() -> None:
    target = FaultyTarget(FreesInReverse)
    finding = first_finding(target)
    told: list[tuple[int, int]] = []
    shows = Exact(ReferenceSession, target, finding.trace)
    small = shrink(finding.trace, shows, budget=7, progress=lambda *seen: told.append(seen))
    assert small is not None
    assert (small.ending, small.attempts) == ("budget", 7)
    assert [attempts for attempts, _ in told] == [1, 2, 3, 4, 5, 6, 7]


def test_what_agrees_has_nothing_to_shrink() -> None:
    target = FaultyTarget(ReferenceSession)
    case = draw_case(1, "mixed", 1, 60, ReferenceSession, ())
    shows = Exact(ReferenceSession, target, case.trace)
    assert shows.play(case.trace) == Shown(case.trace)
    assert shrink(case.trace, shows) is None
