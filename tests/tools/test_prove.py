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
from tools.prove.page import PAGE, TITLES, keep, page, read_kept
from tools.prove.parts import PATHS, PATHS_IN_LONG, Row, parts, rows
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
    text = page(small, [])
    assert f"## {TITLES[Reach.CONFIRMED]}: 4\n" in text
    for row in small:
        assert f"| {row.statement} | {' '.join(row.rules)} | CrossHair | {row.verdict.detail} |  |" in text
    assert page([replace(row, seconds=row.seconds + 1) for row in small], []) == text


def test_what_is_less_than_confirmed_says_why() -> None:
    less = [row for row in decided("invariants.history") if row.verdict.reach is Reach.OPEN]
    assert less
    for row in less:
        assert re.fullmatch(
            rf"{PATHS} paths a condition: .* may be of any size(; in small: .+)?", row.verdict.detail
        )


def test_every_module_of_spec_and_every_small_scope_is_a_part() -> None:
    assert {"spec.hits", "spec.retention", "spec.proofs", "invariants.history"} <= set(parts(is_long=False))
    assert {f"kvref.check {name}" for name in FAST} <= set(parts(is_long=False))


def test_what_is_kept_was_said_by_the_long_part_as_it_is_now() -> None:
    assert {"spec.hits longest_hit", "spec.content chain"} <= set(parts(is_long=True))
    assert {row.part for row in read_kept()} <= set(parts(is_long=True))
    still_open = [row.verdict.detail for row in read_kept() if row.verdict.reach is Reach.OPEN]
    assert still_open
    assert all(f"{PATHS_IN_LONG} paths" in detail for detail in still_open)
    assert PAGE.read_text().endswith(page([], read_kept()).removeprefix(page([], [])))


def test_what_the_long_part_says_takes_the_place_of_what_it_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: list[Row]
) -> None:
    monkeypatch.setattr("tools.prove.page.KEPT", tmp_path / "kept.json")
    one, other = (replace(row, part=row.statement) for row in small[:2])
    keep([other])
    keep([one])
    said = replace(one, verdict=Verdict(Reach.OPEN, "less"))
    keep([said])
    assert read_kept() == [replace(said, seconds=0), replace(other, seconds=0)]
    assert "### No counterexample within a stated effort: 1\n" in page(small, read_kept())


def test_each_contract_without_a_last_path_has_a_smaller_statement_that_is_confirmed() -> None:
    section, sections = "", dict[str, list[str]]()
    for line in PAGE.read_text().splitlines():
        section = line if line.startswith("#") else section
        sections.setdefault(section, []).append(line)
    (confirmed,) = (lines for title, lines in sections.items() if title.startswith("## Confirmed"))
    sure = {line.split(" | ")[0].removeprefix("| ") for line in confirmed}
    (less,) = (lines for title, lines in sections.items() if title.startswith("## No counterexample"))
    rows = [line for line in less if "keeps its contract" in line]
    assert rows
    for row in rows:
        statement, far = row.split(" | ")[0].removeprefix("| "), row.split(" | ")[3]
        smaller = [one for one in far.partition("; in small: ")[2].split("; ") if one]
        bounded = [one for one in sure if one.startswith(f"{statement} if ")]
        assert smaller + bounded, statement
        assert set(smaller) <= sure


def test_an_answer_with_a_wrong_variant_that_stands_does_not_hold() -> None:
    assert Verdict(Reach.PROVED, "", "too much", wrong_is_refuted=True).holds
    assert not Verdict(Reach.PROVED, "", "too much", wrong_is_refuted=False).holds
    assert not Verdict(Reach.REFUTED).holds


def said_by(program: str) -> str:
    """What a program prints in CrossHair's environment."""
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


REFUTE = """
from tools.prove import contracts
from tools.prove.same_arithmetic import EQUIVALENCES
print([one.holds.__name__ for one in EQUIVALENCES if not contracts.is_refuted_when_wrong(one)])
"""


def test_every_wrong_variant_of_the_optimized_arithmetic_is_refuted() -> None:
    assert said_by(REFUTE) == "[]"


LEMMAS_ALONE = """
import sys
from importlib import import_module
sys.path.insert(0, "benchmarks")
from contracts import PATHS, mutants_of
from tools.prove.lemma import LEMMAS
from tools.prove.symbolic import contract_of, examine

def objects(lemma, function):
    function = getattr(function, "predicate", function)
    code = function.__code__
    try:
        for mutant in mutants_of(function):
            function.__code__ = mutant.code
            if examine(contract_of(lemma.holds), PATHS).refuted is not None:
                return True
    finally:
        function.__code__ = code
    return False

every = [(lemma, one) for name in LEMMAS for lemma in import_module(name).LEMMAS for one in lemma.about]
print(len(every), [(lemma.holds.__name__, one.__name__) for lemma, one in every if not objects(lemma, one)])
"""


def test_every_lemma_objects_to_a_mutant_of_each_function_that_it_is_about() -> None:
    count, _, alive = said_by(LEMMAS_ALONE).partition(" ")
    assert int(count) > 70
    # Where a function breaks its own contract, CrossHair leaves the path to that one's line.
    assert alive == "[('keys_take_apart', 'group_of')]"


SAMPLE = ("spec.arithmetic", "spec.capacity", "invariants.effects", "invariants.checker")
MUTANTS = [sys.executable, "benchmarks/contracts.py", "--most", "1", *SAMPLE]


def test_a_mutant_of_a_function_meets_an_objection() -> None:
    said = subprocess.run(  # noqa: S603 - our own code
        MUTANTS, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout
    assert said.stdout.count("{'CrossHair': 1}") >= 10
    assert said.stdout.count("{'test': 1}") >= 3
