"""`kvref zoo` says what killed each bug, and ends with 1 where too many live."""

from pathlib import Path

import msgspec
import pytest

from kvref.cli.zoo import zoo
from kvref.errors import UserError
from kvref.zoo.results import Results


def test_it_tells_and_writes_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, page = tmp_path / "zoo.json", tmp_path / "zoo.md"
    assert zoo("usage-counts-content", level=("exact", "safe"), json=data, page=page) == 0
    results = msgspec.json.decode(data.read_bytes(), type=Results)
    [entry] = results.entries
    [run] = entry.runs
    assert (run.level, run.killed) == ("exact", True)
    assert run.reproducer is not None
    assert run.reproducer <= run.operations
    assert f"| {run.operations:,} → {run.reproducer} | hidden |" not in page.read_text()
    assert f"{run.operations:,} → {run.reproducer} |" in page.read_text()
    assert "level exact: 1 of 1 killed" in capsys.readouterr().out


def test_a_bug_that_lives_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.__globals__["CASES"], "ci", 1)
    assert zoo("a-second-member-is-not-asked") == 1


def test_a_bug_that_nobody_knows_is_told() -> None:
    with pytest.raises(UserError, match="no bug is called 'unheard-of'"):
        zoo("unheard-of")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another place"):
        zoo("usage-counts-content", shrink=False, json=tmp_path / "no" / "zoo.json")
