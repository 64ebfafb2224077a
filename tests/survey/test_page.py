"""The survey's page: what the newest release does wrong stands first, and nothing is written by hand."""

from pathlib import Path

import msgspec

from kvref.operations import FullGroup, Trace
from kvref.survey.catalogue import KNOWN
from kvref.survey.page import page
from kvref.survey.releases import RELEASES
from kvref.survey.results import Outcome, Survey, Surveyed, Unknown
from kvref.targets.vllm.reproducer import reproducer
from tests.dataplane.story import configuration

ROOT = Path(__file__).parent.parent.parent
KEPT = msgspec.json.decode((ROOT / "docs" / "survey.json").read_bytes(), type=Survey)


def surveyed(release: str, *faults: str, **changes: object) -> Surveyed:
    replayed: dict[str, Outcome] = {one.id: "fault" if one.id in faults else "sound" for one in KNOWN}
    plain = Surveyed(
        release,
        seed=1,
        cases=10,
        operations=60_000,
        slots_checked=100,
        seconds=1.0,
        by_feature={"full": 60_000},
        by_pair={"full": {"EAGLE": 9_000}},
        lacking={},
        refused={},
        findings={},
        met={},
        unknown=[],
        replayed=replayed,
    )
    return msgspec.structs.replace(plain, **changes)


def told(*releases: Surveyed) -> str:
    return page(Survey("2026-01-01", 50_000, 1, list(releases)), KNOWN, "kvref survey")


def test_findings_of_the_newest_release_come_first() -> None:
    text = told(surveyed("0.1.0", "Q-1", "Q-4"), surveyed("0.2.0", "Q-4"))
    newest, before = text.split("## Mended since")
    assert "| Q-4 |" in newest
    assert "| Q-1 |" not in newest
    assert "| Q-1 |" in before


def test_releases_in_a_row_are_told_as_a_stretch() -> None:
    text = told(*(surveyed(f"0.{n}.0", *(("Q-1",) if n in (1, 2, 4) else ())) for n in range(5)))
    assert "| 0.1.0 to 0.2.0, 0.4.0 |" in text


def test_a_cell_says_how_much_was_checked_and_what_was_found() -> None:
    text = told(surveyed("0.1.0", "Q-1", findings={"Q-1": 2}, met={"Q-1": ["full"]}), surveyed("0.2.0"))
    assert "| 0.1.0 | 60 k: Q-1 |" in text
    assert "| 0.2.0 | 60 k: safe | - |" in text


def test_a_kind_and_a_feature_are_told_together() -> None:
    both = surveyed("0.1.0", "Q-1", findings={"Q-1": 2}, met={"Q-1": ["full", "EAGLE"]})
    assert "| EAGLE | 9 k: Q-1 | - |" in told(both)
    one = surveyed("0.1.0", "Q-1", findings={"Q-1": 2}, met={"Q-1": ["EAGLE"]})
    assert "| EAGLE | 9 k: safe | - |" in told(one)


def test_what_the_catalogue_does_not_know_is_told() -> None:
    new = Unknown("a reads token 0", "token 0 of a", "nothing", Trace(configuration(FullGroup(4)), ()))
    assert "- 0.1.0: a reads token 0: nothing" in told(surveyed("0.1.0", unknown=[new]))


def test_the_page_in_docs_is_what_the_kept_results_say() -> None:
    command = f"kvref survey --operations {KEPT.operations} --seed {KEPT.seed}"
    assert (ROOT / "docs" / "survey.md").read_text(encoding="utf-8") == page(KEPT, KNOWN, command)


def test_the_kept_survey_has_every_release_with_fifty_thousand_operations_and_knows_all() -> None:
    assert [one.release for one in KEPT.releases] == list(RELEASES)
    assert all(one.operations >= 50_000 for one in KEPT.releases)
    assert [unknown for one in KEPT.releases for unknown in one.unknown] == []


def test_every_finding_is_shown_by_some_release_and_has_a_file_of_its_own() -> None:
    for one in KNOWN:
        assert any(surveyed.replayed[one.id] == "fault" for surveyed in KEPT.releases), one.id
        written = (ROOT / "reproducers" / "managers" / f"{one.id}.py").read_text(encoding="utf-8")
        shown = [surveyed.release for surveyed in KEPT.releases if surveyed.replayed[one.id] == "fault"]
        assert written == reproducer(one.trace, "0.23.0" if "0.23.0" in shown else shown[-1])
