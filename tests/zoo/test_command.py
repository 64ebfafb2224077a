"""`kvref zoo` says what killed each bug, and ends with 1 where too many live."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from kvref.cli.zoo import zoo
from kvref.errors import UserError
from kvref.zoo.measure import Task, measure_all
from kvref.zoo.results import CASES, Results, Run
from tests.fuzz.test_workers import await_end, children

RESOURCE_TRACKER = 1
"""A process that Python itself starts beside the first worker."""


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
    out = capsys.readouterr().out
    assert "fuzz, level exact: 1 of 1 bugs killed (100.0%; 95% is due)" in out
    assert f"median reproducer {run.reproducer} operations (8 may be)" in out


def test_a_bug_that_lives_is_a_failure_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CASES["fuzz"], "ci", 1)
    assert zoo("a-second-member-is-not-asked") == 1
    assert "fuzz, level exact: the CI profile kills 0 of 1, 1 are due" in capsys.readouterr().out


def test_an_interrupt_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def measured(tasks: list[Task], workers: int) -> Iterator[tuple[Task, Run]]:
        yield from measure_all(tasks[:1], workers)
        raise KeyboardInterrupt

    monkeypatch.setitem(zoo.__globals__, "measure_all", measured)
    data = tmp_path / "zoo.json"
    assert zoo("usage-counts-content", "the-gate-is-open", json=data) == 130
    results = msgspec.json.decode(data.read_bytes(), type=Results)
    assert [(entry.name, len(entry.runs)) for entry in results.entries] == [
        ("usage-counts-content", 1),
        ("the-gate-is-open", 0),
    ]


def test_a_terminals_interrupt_ends_its_processes_and_tells_what_was_measured(tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal; these would be at their bugs for minutes."""
    bugs = ("hits-of-later-groups-are-taken", "all-groups-cache-every-block")
    options = ("--level", "hits", "--profile", "nightly", "--workers", "2", "--json", "zoo.json")
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "kvref.cli", "zoo", *bugs, *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while len(workers := children(process.pid)) < RESOURCE_TRACKER + 2:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate()
    assert (process.returncode, errors) == (130, "")
    assert said.endswith("interrupted: what was not run is left out\n")
    await_end(workers)
    assert (tmp_path / "zoo.json").exists()


def test_a_bug_that_nobody_knows_is_told() -> None:
    with pytest.raises(UserError, match="no bug is called 'unheard-of'"):
        zoo("unheard-of")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another place"):
        zoo("usage-counts-content", shrink=False, json=tmp_path / "no" / "zoo.json")


def test_what_is_not_run_is_taken_from_earlier_results(tmp_path: Path) -> None:
    data = tmp_path / "zoo.json"
    bugs = ("usage-counts-content", "the-gate-is-open")
    assert zoo(*bugs, shrink=False, json=data) == 0
    assert zoo(*bugs, level=("invariants",), shrink=False, earlier=data, json=data) == 0
    entries = msgspec.json.decode(data.read_bytes(), type=Results).entries
    assert {entry.name: [run.level for run in entry.runs] for entry in entries} == {
        "usage-counts-content": ["exact", "invariants"],
        "the-gate-is-open": ["exact"],
    }


def test_bugs_that_are_not_named_are_kept_from_earlier_results(tmp_path: Path) -> None:
    data = tmp_path / "zoo.json"
    assert zoo("usage-counts-content", shrink=False, json=data) == 0
    earlier = msgspec.json.decode(data.read_bytes(), type=Results).entries
    assert zoo("the-gate-is-open", shrink=False, earlier=data, json=data) == 0
    entries = msgspec.json.decode(data.read_bytes(), type=Results).entries
    assert {entry.name for entry in entries} == {"usage-counts-content", "the-gate-is-open"}
    assert earlier[0] in entries


@pytest.mark.parametrize(
    ("text", "seed", "why"),
    [
        (None, 1, "cannot be read"),
        ("{", 1, "is not what kvref zoo"),
        ('{"seed": 1, "entries": []}', 2, "is of seed 1"),
    ],
)
def test_earlier_results_that_do_not_fit_are_told(
    text: str | None, seed: int, why: str, tmp_path: Path
) -> None:
    data = tmp_path / "zoo.json"
    if text is not None:
        data.write_text(text)
    with pytest.raises(UserError, match=why):
        zoo("usage-counts-content", seed=seed, earlier=data)
