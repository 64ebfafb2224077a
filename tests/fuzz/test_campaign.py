"""A campaign finds faults, names them, and keeps what it found however it ends."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.fuzz.campaign import WITNESSED, Report, Settings, run
from kvref.fuzz.cases import is_careful
from kvref.fuzz.report import write_trace
from kvref.fuzz.settings import BATCH
from kvref.operations import Trace
from kvref.replay import read_trace, replay
from kvref.targets.base import CaseResult
from kvref.targets.deviations import Deviation, Verdict
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from tests.fuzz.faults import (
    FAULTS,
    CountsAQueryTooMany,
    Fault,
    FaultyTarget,
    FreesInReverse,
    LeaksABlock,
    RefusesWindows,
    SaysThatItReset,
    TellsNoRemovals,
)


def ignore(report: Report) -> None:
    del report


def campaign(
    target: FaultyTarget | ReferenceTarget,
    cases: int = BATCH,
    on_batch: Callable[[Report], None] = ignore,
    **more: object,
) -> Report:
    settings = Settings(1, cases, None, **more)  # type: ignore[arg-type]
    opener = target.opener if settings.level == "invariants" else ReferenceSession
    return run(settings, opener, target, on_batch)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_fault_is_found_soon_and_named(fault: type[Fault]) -> None:
    report = campaign(FaultyTarget(fault), fault.within)
    assert report.findings
    operations = {
        "construction" if finding.operation is None else type(finding.operation).__name__
        for finding in report.findings
    }
    assert operations <= set(fault.shown_by.split())
    shown = [d.what for finding in report.findings for d in finding.differences]
    assert any(what.startswith(fault.shows) for what in shown)
    assert all(finding.differences for finding in report.findings)


def test_a_manager_without_fault_gives_no_finding() -> None:
    report = campaign(FaultyTarget(ReferenceSession), cases=100)
    assert report.findings == []
    assert report.cases == 100
    assert report.whole_share == 1.0
    assert report.operations == sum(report.lengths.elements()) > 90 * 60
    assert report.witnessed in (9, 10)  # one in ten, if it could be built


def test_a_finding_is_the_trace_up_to_it() -> None:
    for finding in campaign(FaultyTarget(CountsAQueryTooMany)).findings:
        assert finding.trace.operations[-1] == finding.operation
        assert (finding.trace.seed, finding.trace.case is not None) == (1, True)
        assert finding.title.startswith(f"case {finding.trace.case}: Lookup differs in stats")


@pytest.mark.parametrize("fault", [FreesInReverse, TellsNoRemovals, RefusesWindows])
def test_the_trace_of_a_finding_shows_it_again(fault: type[Fault], tmp_path: Path) -> None:
    target = FaultyTarget(fault)
    for finding in campaign(target).findings:
        loaded = read_trace(write_trace(tmp_path, finding.trace))
        assert loaded == finding.trace
        agreed, known, again = replay(ReferenceSession, target, loaded)
        assert known is None
        assert again is not None
        assert again.differences == finding.differences
        assert agreed == (0 if finding.operation is None else len(loaded.operations) - 1)


def test_the_same_seed_finds_the_same() -> None:
    first, second = campaign(FaultyTarget(LeaksABlock)), campaign(FaultyTarget(LeaksABlock))
    assert first.findings == second.findings
    assert first.coverage == second.coverage


def test_a_campaign_may_begin_at_any_case() -> None:
    whole = campaign(FaultyTarget(FreesInReverse), 30)
    late = campaign(FaultyTarget(FreesInReverse), 10, first=20)
    assert late.cases == 10
    assert late.findings == [finding for finding in whole.findings if (finding.trace.case or 0) >= 20]


def test_a_case_is_compared_up_to_its_divergence_and_not_beyond() -> None:
    report = campaign(FaultyTarget(FreesInReverse))
    ends = {finding.trace.case: len(finding.trace.operations) - 1 for finding in report.findings}
    assert Counter(ends.values()) <= report.lengths
    assert len(ends) > 10
    assert report.whole <= report.lengths.total() - len(ends)


def test_coverage_counts_the_cases_that_were_compared_to_their_end() -> None:
    sound = campaign(FaultyTarget(ReferenceSession))
    faulty = campaign(FaultyTarget(TellsNoRemovals))
    assert faulty.whole < sound.whole
    assert (
        faulty.coverage.counts["several groups", "eviction"]
        < sound.coverage.counts["several groups", "eviction"]
    )
    assert sound.coverage.counts["full", "hit"] > 0


KNOWN = Deviation(
    "Q-0",
    "RESET-1",
    ("1",),
    Verdict.COSMETIC,
    "says that it reset",
    lambda _: True,
    lambda situation: "Reset" in type(situation.operation).__name__,
)
BUILDS = Deviation(
    "Q-1",
    "CFG-3",
    ("1",),
    Verdict.COSMETIC,
    "refuses windows",
    lambda configuration: "Sliding" in str(configuration),
    lambda _: False,
    at_construction=True,
)


def test_what_a_catalogue_knows_is_counted_and_no_finding() -> None:
    plain = campaign(FaultyTarget(SaysThatItReset))
    known = campaign(FaultyTarget(SaysThatItReset, (KNOWN,)))
    assert known.findings == []
    assert known.deviations == Counter({"Q-0": len(plain.findings)})


def test_a_known_deviation_of_construction_is_counted_and_no_finding() -> None:
    plain = campaign(FaultyTarget(RefusesWindows))
    known = campaign(FaultyTarget(RefusesWindows, (BUILDS,)))
    assert known.findings == []
    # Where the reference refuses, too, nothing is found, but the catalogue is asked first.
    assert set(known.deviations) == {"Q-1"}
    assert 0 <= known.deviations["Q-1"] - len(plain.findings) <= plain.refused_by_both


def test_a_catalogue_hides_nothing_but_what_it_knows() -> None:
    plain = campaign(FaultyTarget(FreesInReverse))
    assert campaign(FaultyTarget(FreesInReverse, (KNOWN, BUILDS))).findings == plain.findings


def test_a_target_that_ends_a_case_early_is_told() -> None:
    class StopsAtNewRequests(FaultyTarget):
        def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
            return [CaseResult(result.digests[:1], result.refused) for result in super().run(traces)]

        def picture(self, trace: Trace) -> list[Picture]:
            return super().picture(trace)[:1]

    report = campaign(StopsAtNewRequests(ReferenceSession), 3)
    assert [finding.differences[0].what for finding in report.findings] == ["operations performed"] * 3
    assert [finding.differences[0].actual for finding in report.findings] == ["1, then None"] * 3


# Level invariants: a manager against what must always hold, without a reference


def test_at_level_invariants_a_sound_manager_breaks_none() -> None:
    report = campaign(FaultyTarget(ReferenceSession), 30, level="invariants")
    assert report.findings == []
    assert report.witnessed == report.cases - report.refused_by_both
    assert report.operations > 0


@pytest.mark.parametrize(
    ("fault", "invariant"),
    [
        (LeaksABlock, "nothing-leaks"),
        (FreesInReverse, "queue-order"),
        (TellsNoRemovals, "events-replay-the-map"),
        (SaysThatItReset, "reset-only-unused"),
    ],
)
def test_at_level_invariants_a_broken_one_is_named(fault: type[Fault], invariant: str) -> None:
    report = campaign(FaultyTarget(fault), 200, level="invariants")
    assert report.findings
    first = report.findings[0]
    assert invariant in [difference.what for finding in report.findings for difference in finding.differences]
    assert type(first.operation).__name__ in fault.shown_by


def test_at_level_invariants_the_target_is_not_run_a_second_time() -> None:
    target = FaultyTarget(ReferenceSession)
    campaign(target, 10, level="invariants")
    assert target.ran == 0


def test_at_level_exact_the_reference_is_witnessed_on_some_cases() -> None:
    report = run(Settings(8, WITNESSED, None, followed=1), LeaksABlock, FaultyTarget(LeaksABlock), ignore)
    # The faulty manager takes the reference's place: both sides agree. An invariant tells in case 0, which
    # is witnessed, and a reset that is refused for no reason in the first case whose careful scheduler asks for one.
    assert report.witnessed == 1
    witnessed, followed = (finding.trace.case for finding in report.findings[:2])
    assert witnessed == 0
    assert followed is not None
    assert is_careful(followed)
    assert report.findings[1].differences[0].what == "reset, while no request holds a block"


def test_what_careful_cases_read_is_checked_in_every_campaign() -> None:
    report = run(Settings(1, 40, None, followed=1), ReferenceSession, ReferenceTarget(), ignore)
    assert report.slots_checked > 500


def test_data_is_put_behind_one_careful_case_in_so_many() -> None:
    assert [n for n in range(12) if Settings(1, 12, None, followed=1).follows(n)] == [0, 2, 4, 6, 8, 10]
    assert [n for n in range(13) if Settings(1, 13, None, followed=3).follows(n)] == [0, 6, 12]


# How campaigns end


def test_a_campaign_ends_with_its_last_case() -> None:
    target = FaultyTarget(ReferenceSession)
    assert campaign(target, BATCH + 3, length=5).cases == target.ran == BATCH + 3


def test_a_campaign_ends_with_its_time() -> None:
    report = run(Settings(1, None, 0.2, length=5), ReferenceSession, ReferenceTarget(), ignore)
    assert report.cases > 0
    assert report.cases % BATCH == 0
    assert 0.2 <= report.wall_seconds < 5


def test_progress_is_told_once_a_batch_and_in_the_end() -> None:
    told: list[int] = []
    campaign(ReferenceTarget(), 2 * BATCH, lambda report: told.append(report.cases), length=5)
    assert told == [0, BATCH, 2 * BATCH, 2 * BATCH]


def interrupt(report: Report) -> None:
    raise KeyboardInterrupt(report.target)


class StopsAtBatch(FaultyTarget):
    """Raises when it is given its n-th batch."""

    def __init__(self, number: int, error: BaseException) -> None:
        super().__init__(FreesInReverse)
        self.left = number
        self.error = error

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        self.left -= 1
        if self.left <= 0:
            raise self.error
        return super().run(traces)


def expect_first_batch(report: Report) -> None:
    """All findings of the first batch, each once."""
    whole = campaign(FaultyTarget(FreesInReverse), BATCH)
    assert report.findings == whole.findings
    assert report.cases == whole.cases
    assert report.coverage == whole.coverage


def test_an_interrupt_while_progress_is_told_keeps_what_was_found() -> None:
    expect_first_batch(campaign(FaultyTarget(FreesInReverse), 10 * BATCH, interrupt))


def test_an_interrupt_in_the_target_keeps_what_was_found() -> None:
    expect_first_batch(campaign(StopsAtBatch(2, KeyboardInterrupt()), 10 * BATCH))


def test_an_interrupt_while_a_difference_is_explained_counts_nothing_twice() -> None:
    class InterruptedPicture(FaultyTarget):
        left = 5

        def picture(self, trace: Trace) -> list[Picture]:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return super().picture(trace)

    report = campaign(InterruptedPicture(FreesInReverse), 10 * BATCH)
    numbers = [finding.trace.case or 0 for finding in report.findings]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 4
    assert report.cases < 3 * BATCH


def test_an_interrupt_before_anything_was_compared_ends_well() -> None:
    report = campaign(StopsAtBatch(1, KeyboardInterrupt()), 3 * BATCH)
    assert (report.cases, report.findings) == (0, [])


def test_a_target_that_dies_ends_the_campaign_and_what_was_found_is_kept() -> None:
    report = campaign(StopsAtBatch(2, UserError("the worker has died")), 10 * BATCH)
    expect_first_batch(report)
    assert str(report.failure) == "the worker has died"
    assert campaign(ReferenceTarget(), 1).failure is None


def test_any_other_error_of_a_target_is_a_defect_and_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        campaign(StopsAtBatch(1, ZeroDivisionError()), BATCH)
