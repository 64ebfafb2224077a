"""`kvref shrink`, and what `kvref fuzz` does of it by itself."""

from pathlib import Path

import pytest

from kvref.replay import read_trace
from tests.command import Kvref
from tests.fuzz.faults import FaultyTarget, FreesInReverse
from tests.test_cli import STEPS, faulty, installed, written

__all__ = ["faulty"]

SMALL = 5


def test_findings_are_shrunk_and_kept_whole(kvref: Kvref, faulty: FaultyTarget) -> None:
    ended = kvref("fuzz", "--target", faulty.name, "--cases", 3)
    assert ended.code == 1
    whole, small = (read_trace(Path(f"findings/seed1-case0{end}.json")) for end in ("", "-small"))
    assert len(small.operations) <= SMALL < len(whole.operations)
    assert f"{len(whole.operations)} operations are {len(small.operations)} after" in ended.out
    assert "kvref replay findings/seed1-case0-small.json --target faulty" in ended.out
    assert "kvref replay findings/seed1-case0.json --target faulty" in ended.out
    assert "kvref reproducer findings/seed1-case0-small.json --api kvref" in ended.out
    assert kvref("replay", "findings/seed1-case0-small.json", "--target", faulty.name).code == 1


@pytest.mark.usefixtures("faulty")
def test_findings_of_invariants_are_shrunk(kvref: Kvref) -> None:
    ended = kvref("fuzz", "--target", "faulty", "--level", "invariants", "--cases", 4)
    assert ended.code == 1
    smalls = list(Path("findings").glob("*-small.json"))
    assert smalls
    assert all(len(read_trace(small).operations) <= SMALL + 3 for small in smalls)


@pytest.mark.usefixtures("faulty")
def test_a_trace_is_shrunk(kvref: Kvref, tmp_path: Path) -> None:
    path = written(tmp_path / "t.json", *STEPS)
    ended = kvref("shrink", path, "--target", "faulty")
    assert (ended.code, ended.err) == (1, "")
    small = read_trace(tmp_path / "t-small.json")
    assert len(small.operations) <= SMALL
    assert kvref("shrink", path, "--target", "faulty", "--out", tmp_path / "out.json").code == 1
    assert read_trace(tmp_path / "out.json") == small


def test_a_trace_that_shows_nothing_is_told(kvref: Kvref, tmp_path: Path) -> None:
    ended = kvref("shrink", written(tmp_path / "t.json"), "--target", "reference")
    assert ended.code == 0
    assert "shows nothing on reference at level exact" in ended.out
    assert not (tmp_path / "t-small.json").exists()


def test_a_spent_budget_is_told(kvref: Kvref, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, FaultyTarget(FreesInReverse))
    ended = kvref("shrink", written(tmp_path / "t.json"), "--target", "faulty", "--budget", 2)
    assert "after 2 attempts; the budget is spent" in ended.out


@pytest.mark.usefixtures("faulty")
def test_bad_input_is_told_in_one_line(kvref: Kvref, tmp_path: Path) -> None:
    path = written(tmp_path / "t.json")
    assert "--budget 0 is not positive" in kvref("shrink", path, "--budget", 0).refused
    assert "cannot be read" in kvref("shrink", tmp_path / "none.json").refused
    assert "cannot be written" in kvref("shrink", path, "--target", "faulty", "--out", tmp_path).refused
    assert "one operation at a time" in kvref("shrink", path, "--target", "faulty", "--level", "safe").refused
