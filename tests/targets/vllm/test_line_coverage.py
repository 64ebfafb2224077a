"""What fuzzing runs of vLLM's core files is measured, and what it does not run has a reason that holds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.fuzz.campaign import Settings, run
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm import line_coverage, target
from kvref.targets.vllm.coverage_report import (
    CHANCE,
    missed_in,
    mistakes,
    page,
    reached_in,
    together,
    untaken_in,
)
from kvref.targets.vllm.line_coverage import FileCoverage, functions_of
from kvref.targets.vllm.unreached import RELEASE, UNREACHED, UNTAKEN, Unreached, Untaken
from kvref.targets.vllm.worker import Measured

SOURCE = """
class A:
    def f(self):
        return 1

    def g(self):
        def inner():
            return 2
        return inner

x = 3
"""
FILE = FileCoverage(
    "f.py", (2, 3, 4, 6, 7, 8, 9, 11), (4, 8, 9), 4, ((3, 4), (6, 9), (6, 7)), functions_of(SOURCE)
)
BRANCHES = (Untaken("f.py", "A.g", 6, 7, "inner is always there"),)
KNOWN = (Unreached("f.py", "A.f", (4,), "never"), Unreached("f.py", "A.g", (9,), "not asked", legal=True))

SHARE = 0.95
CASES = 600


def test_lines_are_told_by_their_function() -> None:
    assert FILE.functions == {3: "A.f", 4: "A.f", 6: "A.g", 7: "A.g.inner", 8: "A.g.inner", 9: "A.g"}


def test_lines_that_cannot_be_reached_do_not_count() -> None:
    reached = reached_in(FILE, KNOWN)
    assert (reached.statements, reached.reachable, reached.reached) == (8, 7, 5)
    assert (reached.branches, reached.taken) == (4, 1)
    assert together([reached, reached]).share == reached.share == 5 / 7


def test_what_is_missed_is_told_with_its_reason() -> None:
    told = [(one.function, one.lines, one.reason) for one in missed_in(FILE, KNOWN)]
    assert told == [("A.f", (4,), "never"), ("A.g", (9,), "not asked"), ("A.g.inner", (8,), CHANCE)]


def test_a_branch_is_told_where_both_its_ends_were_run() -> None:
    assert list(untaken_in(FILE, BRANCHES)) == list(BRANCHES)
    assert list(untaken_in(FILE, ())) == [replace(BRANCHES[0], reason=CHANCE)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Untaken("f.py", "A.g", 3, 4, "never"), "branch 3 to 4 is in A.f, not in A.g"),
        (Untaken("f.py", "A.g", 6, 8, "never"), "branch 6 to 8 was taken or is none, although: never"),
    ],
)
def test_a_reason_for_a_branch_that_does_not_hold_is_told(wrong: Untaken, said: str) -> None:
    assert mistakes([FILE], KNOWN, BRANCHES) == []
    assert mistakes([FILE], KNOWN, (*BRANCHES, wrong)) == [f"f.py {said}"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Unreached("f.py", "A.f", (3,), "never"), "line 3 in A.f was run, although: never"),
        (Unreached("f.py", "A.g", (4,), "never"), "line 4 is in A.f, not in A.g"),
        (Unreached("f.py", "A.f", (5,), "never"), "line 5 has no statement"),
    ],
)
def test_a_reason_that_does_not_hold_is_told(wrong: Unreached, said: str) -> None:
    assert mistakes([FILE], KNOWN, ()) == []
    assert mistakes([FILE], (*KNOWN, wrong), ()) == [f"f.py {said}"]


def test_without_coverage_py_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_coverage, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install 'kvref"):
        line_coverage.package()


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    pytest.importorskip("coverage")
    opened = target.open_vllm(RELEASE, None, print, measures=True)
    try:
        run(Settings(1, CASES, None), ReferenceSession, opened, lambda _: None)
        yield opened.measured()
    finally:
        opened.close()


@pytest.mark.vllm
def test_fuzzing_reaches_what_a_legal_caller_can(measured: Measured) -> None:
    for file in measured.files:
        assert reached_in(file).share >= SHARE, [m for m in missed_in(file) if m.reason == CHANCE]
    assert measured.is_fast


@pytest.mark.vllm
def test_every_reason_holds(measured: Measured) -> None:
    assert mistakes(measured.files) == []
    first = UNREACHED[0]
    run_line = next(line for line in measured.files[0].statements if line not in measured.files[0].missed)
    moved = replace(first, lines=(run_line,))
    assert mistakes(measured.files, (moved,)) != []
    assert mistakes(measured.files, (), (replace(UNTAKEN[0], end=682),)) != []


@pytest.mark.vllm
def test_the_page_in_the_repository_names_what_was_missed(measured: Measured) -> None:
    kept = Path("docs/coverage.md").read_text()
    told: list[Unreached | Untaken] = [*UNREACHED, *UNTAKEN]
    for one in told:
        assert f"`{one.function}`" in kept
        assert one.reason in kept
    assert kept.splitlines()[0] == page(measured.files, "", 0).splitlines()[0]
