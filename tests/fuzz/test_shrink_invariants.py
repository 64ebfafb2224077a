"""A broken invariant is shrunk, on the manager alone, to a few operations that break the same one."""

import pytest

from kvref.fuzz.campaign import Settings, run
from kvref.fuzz.shows_invariants import Invariants
from kvref.fuzz.shrink import shrink
from kvref.judge import Finding
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness
from tests.fuzz.faults import Fault, FaultyTarget, FreesInReverse, LeaksABlock, TellsNoRemovals

MOST = 8


def first_finding(opener: Opener) -> Finding:
    settings = Settings(1, 80, None, level="invariants")
    report = run(settings, opener, FaultyTarget(opener), lambda _: None)
    return min(report.findings, key=lambda finding: finding.trace.case or 0)


@pytest.mark.parametrize("fault", [LeaksABlock, FreesInReverse, TellsNoRemovals])
def test_a_broken_invariant_is_shown_in_a_few_operations(fault: type[Fault]) -> None:
    finding = first_finding(fault)
    small = shrink(finding.trace, Invariants(fault, finding.trace))
    assert small is not None
    assert len(small.trace.operations) <= MOST
    assert type(small.trace.operations[-1]) is type(finding.operation)
    assert finding.differences[0].what in [one.what for one in small.wrong]
    session, witness = fault(small.trace.configuration), Witness(small.trace.configuration)
    broken = [witness.sees(o, session.apply(o), session.view()) for o in small.trace.operations]
    assert not any(broken[:-1])
    assert [one.message for one in broken[-1]] == [one.actual for one in small.wrong]


def test_a_sound_manager_has_nothing_to_shrink() -> None:
    trace = first_finding(LeaksABlock).trace
    assert shrink(trace, Invariants(ReferenceSession, trace)) is None
