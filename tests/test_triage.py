"""A draft of an entry excuses the finding that it was drafted from, and what is like it; nothing else."""

from pathlib import Path

import pytest

from kvref.fuzz.campaign import Report, Settings, run
from kvref.judge import Finding, Terms, replay_to
from kvref.known_file import read_known
from kvref.operations import Configuration, Free, FullGroup, Operation, SlidingGroup, Trace
from kvref.replay import replay
from kvref.targets.deviations import Deviation, Situation, Verdict
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from kvref.triage import draft
from tests.fuzz.faults import (
    FAULTS,
    CountsAQueryTooMany,
    Fault,
    FaultyTarget,
    FreesInReverse,
    LeaksABlock,
    RefusesWindows,
)

CASES = 40


def campaign(opener: Opener, *known: Deviation) -> Report:
    return run(
        Settings(1, CASES, None), ReferenceSession, FaultyTarget(opener), lambda _: None, Terms(known=known)
    )


def situation(finding: Finding) -> Situation | None:
    last = len(finding.trace.operations) - 1
    return None if finding.operation is None else replay_to(ReferenceSession, finding.trace, last)


def drafted(finding: Finding, folder: Path) -> Deviation:
    path = folder / "known.py"
    path.write_text(draft(finding, situation(finding), "faulty", "reference"))
    (entry,) = read_known([path])
    return entry


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_draft_excuses_its_finding_at_once(fault: type[Fault], tmp_path: Path) -> None:
    report = run(Settings(1, fault.within, None), ReferenceSession, FaultyTarget(fault), lambda _: None)
    finding = report.findings[0]
    entry = drafted(finding, tmp_path)
    assert (entry.verdict, entry.releases) == (Verdict.COSMETIC, ("faulty",))
    again = replay(ReferenceSession, FaultyTarget(fault), finding.trace, Terms(known=(entry,)))
    assert again.known == entry


@pytest.mark.parametrize("fault", [FreesInReverse, CountsAQueryTooMany, RefusesWindows])
def test_a_campaign_excuses_exactly_what_the_draft_recognises(fault: type[Fault], tmp_path: Path) -> None:
    def alike(finding: Finding) -> bool:
        met = situation(finding)
        if not entry.concerns(finding.trace.configuration):
            return False
        return entry.at_construction if met is None else entry.recognises(met)

    before = campaign(fault).findings
    entry = drafted(before[0], tmp_path)
    after = campaign(fault, entry)
    excused = [finding for finding in before if alike(finding)]
    assert after.findings == [finding for finding in before if finding not in excused]
    assert after.deviations == {entry.id: len(excused)}
    assert before[0] in excused
    assert after.findings


def test_a_near_miss_is_still_a_finding(tmp_path: Path) -> None:
    entry = drafted(campaign(FreesInReverse).findings[0], tmp_path)
    first = campaign(FreesInReverse, entry).findings[0]
    trace = campaign(FreesInReverse).findings[0].trace
    same = replay(ReferenceSession, FaultyTarget(LeaksABlock), trace, Terms(known=(entry,)))
    assert same.known == entry  # recognised by what was there, not by what came out
    other = first.trace
    missed = replay(ReferenceSession, FaultyTarget(FreesInReverse), other, Terms(known=(entry,)))
    assert missed.known is None
    assert missed.finding is not None


def test_a_draft_names_the_rule_where_it_can_be_told(tmp_path: Path) -> None:
    assert drafted(campaign(FreesInReverse).findings[0], tmp_path).rule == "FREE-1"
    assert drafted(campaign(CountsAQueryTooMany).findings[0], tmp_path).rule == "STATS-1"
    refused = drafted(campaign(RefusesWindows).findings[0], tmp_path)
    assert (refused.rule, refused.at_construction) == ("CFG-3", True)


def test_a_draft_without_facts_recognises_only_what_has_none(tmp_path: Path) -> None:
    plain = Configuration((FullGroup(4),), 9, 64, 4, 4)
    finding = Finding(Trace(plain, (Free("r"),)), Free("r"), ())
    path = tmp_path / "known.py"
    session = ReferenceSession(plain)
    path.write_text(draft(finding, Situation(plain, session, Free("r")), 'a "b"', "c\\d"))
    (entry,) = read_known([path])
    assert entry.releases == ('a "b"',)
    assert entry.recognises(Situation(plain, session, Free("r")))
    assert not entry.concerns(Configuration((SlidingGroup(4, 8),), 9, 64, 4, 4))


def test_two_drafts_of_one_operation_have_names_of_their_own(tmp_path: Path) -> None:
    findings = campaign(FreesInReverse).findings
    names = {drafted(finding, tmp_path).id for finding in findings}
    kinds: set[tuple[type[Operation], ...]] = {(type(f.operation),) for f in findings if f.operation}
    assert len(kinds) == 1
    assert 1 < len(names) <= len(findings)
