"""`make prove`: its contracts are there, its answers mean what they say, and its page lists them."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kvref.check.configurations import FAST
from tools.prove.environment import ENVIRONMENT
from tools.prove.page import TITLES, page
from tools.prove.parts import PATHS, Row, parts, rows
from tools.prove.statement import Reach, Verdict

ROOT = Path(__file__).parent.parent.parent
SMALL = "spec.arithmetic"


def decided(*chosen: str) -> list[Row]:
    return list(rows(list(chosen), is_long=False, workers=1))


@pytest.fixture(scope="module")
def small() -> list[Row]:
    return decided(SMALL)


def test_counting_is_confirmed_over_all_paths(small: list[Row]) -> None:
    assert [row.verdict.reach for row in small] == [Reach.CONFIRMED] * 4
    assert {"HASH-8", "NEED-1"} <= {rule for row in small for rule in row.rules}


def test_two_runs_say_the_same(small: list[Row]) -> None:
    again = decided(SMALL, "invariants.setting")
    assert [(row.statement, row.verdict) for row in again[:4]] == [
        (row.statement, row.verdict) for row in small
    ]


def test_the_page_tells_each_line_without_its_time(small: list[Row]) -> None:
    text = page(small)
    assert f"## {TITLES[Reach.CONFIRMED]}: 4\n" in text
    for row in small:
        assert f"| {row.statement} | {' '.join(row.rules)} | CrossHair | {row.verdict.detail} |  |" in text
    assert page([replace(row, seconds=row.seconds + 1) for row in small]) == text


def test_what_is_less_than_confirmed_says_why() -> None:
    less = [row for row in decided("invariants.history") if row.verdict.reach is Reach.OPEN]
    assert less
    for row in less:
        assert re.fullmatch(rf"{PATHS} paths a condition: .* may be of any size", row.verdict.detail)


def test_every_module_of_spec_and_every_small_scope_is_a_part() -> None:
    assert {"spec.hits", "spec.retention", "spec.proofs", "invariants.history"} <= set(parts(is_long=False))
    assert {f"kvref.check {name}" for name in FAST} <= set(parts(is_long=False))
    assert len(parts(is_long=True)) > len(parts(is_long=False))


def test_an_answer_with_a_wrong_variant_that_stands_does_not_hold() -> None:
    assert Verdict(Reach.PROVED, "", "too much", wrong_is_refuted=True).holds
    assert not Verdict(Reach.PROVED, "", "too much", wrong_is_refuted=False).holds
    assert not Verdict(Reach.REFUTED).holds


REFUTE = """
from tools.prove import contracts
from tools.prove.same_arithmetic import EQUIVALENCES
print([one.holds.__name__ for one in EQUIVALENCES if not contracts.is_refuted_when_wrong(one)])
"""


def test_every_wrong_variant_of_the_optimized_arithmetic_is_refuted() -> None:
    said = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", REFUTE],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"


MUTANTS = [sys.executable, "benchmarks/contracts.py", "--most", "1", "spec.arithmetic", "spec.capacity"]


def test_a_mutant_of_a_function_meets_an_objection() -> None:
    said = subprocess.run(  # noqa: S603 - our own code
        MUTANTS, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout
    assert said.stdout.count("{'CrossHair': 1}") >= 8
