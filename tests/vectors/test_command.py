"""`kvref vectors`: exit code 0 no vector differs, 1 one does, 2 bad input in one line."""

import json
import re
from pathlib import Path

import pytest

from tests.command import Kvref
from tests.fuzz.faults import FaultyTarget, FreesInReverse, RefusesWindows
from tests.test_cli import installed
from tests.test_cli import written as trace_written
from tests.vectors.suites import COMMITTED, small, written


def test_our_manager_agrees(kvref: Kvref) -> None:
    ended = kvref("vectors", "run", "--target", "optimized", "--suite", COMMITTED)
    assert (ended.code, ended.err) == (0, "")
    total = json.loads((COMMITTED / "manifest.json").read_bytes())["files"]
    vectors = sum(entry["vectors"] for entry in total)
    last = f"{vectors} of {vectors} vectors agree, 0 show a known deviation, 0 differ"
    assert ended.out.splitlines()[-1] == last


def test_the_first_difference_is_shown(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    target = installed(monkeypatch, FaultyTarget(FreesInReverse))
    ended = kvref("vectors", "run", "--target", "faulty", "--suite", COMMITTED)
    assert (ended.code, ended.err) == (1, "")
    assert re.search(r"^\S+, operation \d+: Free$", ended.out, re.MULTILINE)
    assert re.search(r"what +┃ expected +┃ faulty", ended.out)
    assert not ended.out.endswith("0 differ\n")
    assert target.closed


def test_level_hits_is_another_question(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, FaultyTarget(RefusesWindows))
    ended = kvref("vectors", "run", "--target", "faulty", "--level", "hits", "--suite", COMMITTED)
    assert ended.code == 1
    assert "construction" in ended.out
    assert re.search(r"^\d+ vectors not asked: Evict names blocks", ended.out, re.MULTILINE)


def test_what_is_meant_to_differ_is_no_failure(kvref: Kvref, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, FaultyTarget(FreesInReverse))
    Path("mine.py").write_text(
        "from kvref.known import Deviation, Verdict\n"
        "from kvref.operations import Free\n"
        "KNOWN = (Deviation('tail-last', 'FREE-1', (), Verdict.COSMETIC, 'head first',\n"
        "    lambda c: True, lambda s: isinstance(s.operation, Free)),)\n"
    )
    ended = kvref("vectors", "run", "--target", "faulty", "--suite", COMMITTED, "--known", "mine.py")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(r"^known deviation tail-last in [1-9]\d* vectors: head first$", ended.out, re.MULTILINE)


def test_a_suite_is_made_and_holds(kvref: Kvref) -> None:
    made = kvref("vectors", "generate", "--seed", 7, "--cases", 60, "--out", "deep/here")
    assert made.code == 0
    assert f"{small().vectors} vectors in {len(small().files)} files" in made.out
    assert {path: Path("deep/here", path).read_bytes() for path in small().files} == small().files
    assert kvref("vectors", "run", "--target", "reference", "--suite", "deep/here").code == 0


def test_a_trace_becomes_a_vector(kvref: Kvref, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    written(suite)
    trace = trace_written(tmp_path / "t.json")
    added = kvref("vectors", "add", trace, "--name", "freed", "--rule", "FREE-1", "--suite", suite)
    assert (added.code, added.out) == (0, f"{suite}/found/freed.json is part of the suite\n")
    assert "found/freed.json" in kvref("vectors", "run", "--target", "reference", "--suite", suite).out
    taken = kvref("vectors", "add", trace, "--name", "freed", "--suite", suite)
    assert "freed.json is there already: choose another --name" in taken.refused


def test_bad_input_is_one_line(kvref: Kvref, tmp_path: Path) -> None:
    assert "manifest.json cannot be read" in kvref("vectors", "run", "--target", "reference").refused
    assert "--cases 0 is not positive" in kvref("vectors", "generate", "--cases", 0).refused
    path = written(tmp_path) / "full.json"
    path.write_bytes(path.read_bytes()[:-9])
    ended = kvref("vectors", "run", "--target", "reference", "--suite", tmp_path)
    assert "full.json is not the file" in ended.refused
