"""A target is held against the vectors alone: they find every fault, and name what is known."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kvref.operations import Configuration
from kvref.targets.capabilities import everything
from kvref.targets.deviations import Deviation, Verdict
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener, Session
from kvref.targets.reference import ReferenceSession
from kvref.vectors.run import Level, Tally, run
from kvref.vectors.suite import read_suite
from tests.fuzz.faults import (
    FAULTS,
    Fault,
    FaultyTarget,
    FreesInReverse,
    HitsTheLastToken,
    RefusesWhatJustFits,
    RefusesWindows,
    RoundsUsage,
)
from tests.vectors.suites import COMMITTED, written


def never(configuration: Configuration) -> Session:
    raise AssertionError(configuration)


def held(opener: Opener, level: Level = "exact", *, live: bool = True, folder: Path = COMMITTED) -> Tally:
    """All tallies as one; without the reference."""
    target = InProcessTarget("mine", opener) if live else FaultyTarget(opener)
    total = Tally()
    for tally in run(read_suite(folder)[1], target, level, never).values():
        total.vectors += tally.vectors
        total.agreed += tally.agreed
        total.not_asked += tally.not_asked
        total.failures += tally.failures
    return total


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("opener", [ReferenceSession, OptimizedSession])
def test_our_managers_agree_and_the_reference_is_not_asked(opener: Opener, *, live: bool) -> None:
    exact, hits = held(opener, live=live), held(opener, "hits", live=live)
    assert exact.agreed == exact.vectors > 100
    assert (hits.failures, hits.agreed) == ([], hits.vectors - hits.not_asked.total())
    (reason,) = hits.not_asked
    assert reason.startswith("Evict names blocks")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_the_committed_suite_finds_every_fault(fault: type[Fault]) -> None:
    failures = held(fault).failures
    assert failures
    for failure in failures:
        assert failure.differences
    assert any(d.what.startswith(fault.shows) for failure in failures for d in failure.differences)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("fault", [HitsTheLastToken, RefusesWhatJustFits, RefusesWindows])
def test_level_hits_finds_other_hits_and_refusals(fault: type[Fault], *, live: bool) -> None:
    failures = held(fault, "hits", live=live).failures
    assert failures
    assert {len(failure.differences) for failure in failures} == {1}


def test_level_hits_leaves_the_rest_to_the_manager() -> None:
    assert held(RoundsUsage).failures
    assert held(RoundsUsage, "hits").failures == []


def test_what_a_target_is_known_to_do_is_counted(tmp_path: Path) -> None:
    target = FaultyTarget(FreesInReverse)
    _, files = read_suite(written(tmp_path))
    failures = [f for tally in run(files, target, "exact", ReferenceSession).values() for f in tally.failures]
    target.catalogue = (
        Deviation(
            "Free", "", (), Verdict.COSMETIC, "", lambda _: True, lambda s: bool(s.session.view().tables)
        ),
    )
    tallies = run(files, target, "exact", ReferenceSession).values()
    assert [failure for tally in tallies for failure in tally.failures] == []
    assert sum((tally.known for tally in tallies), Counter()) == {"Free": len(failures)}
    assert failures


def test_what_a_target_refuses_may_be_known(tmp_path: Path) -> None:
    target = FaultyTarget(RefusesWindows)
    target.catalogue = (
        Deviation(
            "no windows", "", (), Verdict.COSMETIC, "", lambda _: True, lambda _: False, at_construction=True
        ),
    )
    tallies = run(read_suite(written(tmp_path))[1], target, "exact", ReferenceSession).values()
    assert sum(tally.known["no windows"] for tally in tallies) > 5
    assert [failure for tally in tallies for failure in tally.failures] == []


def test_what_a_target_lacks_is_not_asked(tmp_path: Path) -> None:
    target = InProcessTarget("mine", ReferenceSession)
    target.capabilities = replace(everything("0.1"), retention=False)
    tallies = run(read_suite(written(tmp_path))[1], target, "exact", never)
    not_asked = sum((tally.not_asked for tally in tallies.values()), Counter[str]())
    assert set(not_asked) == {"0.1 has no retention interval"}
    assert all(t.agreed + t.not_asked.total() == t.vectors for t in tallies.values())
