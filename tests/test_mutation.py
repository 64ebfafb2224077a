"""What the mutants of both managers showed, as `benchmarks/mutation/report.py` has kept it."""

import re
import tomllib
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parent.parent
KEPT: dict[str, Any] = msgspec.json.decode((ROOT / "docs" / "mutation.json").read_bytes())
EQUIVALENT = tomllib.loads((ROOT / "benchmarks" / "mutation" / "equivalent.toml").read_text("utf-8"))

both = pytest.mark.parametrize("manager", ["optimized", "reference"])


@both
def test_every_mutant_was_run_and_killed_or_is_listed(manager: str) -> None:
    total = KEPT[manager]["total"]
    assert total["run"] == total["mutants"] - total["in_annotations"]
    assert total["run"] == total["killed"] + len(KEPT[manager]["survivors"])


@both
def test_half_of_the_killed_were_killed_within_five_seconds(manager: str) -> None:
    assert KEPT[manager]["total"]["seconds_median"] < 5


@both
def test_no_mutant_was_given_more_than_two_minutes(manager: str) -> None:
    assert KEPT[manager]["most_seconds"] <= 120
    assert KEPT[manager]["total"]["seconds_worst"] <= 120


@both
def test_every_survivor_has_a_reason(manager: str) -> None:
    assert [one for one in KEPT[manager]["survivors"] if not one["why"]] == []


@both
def test_no_reason_speaks_of_a_mutant_that_was_killed(manager: str) -> None:
    assert KEPT[manager]["refuted"] == []


@pytest.mark.parametrize("one", EQUIVALENT["equivalent"], ids=lambda one: one["module"] + one["before"])
def test_a_reason_speaks_of_a_line_that_is_there(one: dict[str, str]) -> None:
    files = [
        path
        for manager in ("optimized", "reference")
        for path in sorted((ROOT / "kvref" / manager).glob("*.py"))
        if one["module"] in str(path)
    ]
    lines = [line.strip() for path in files for line in path.read_text("utf-8").splitlines()]
    # A mutant may draw two lines together.
    pairs = [f"{line} {following}" for line, following in pairwise(lines)]
    assert any(re.fullmatch(one["before"], line) for line in lines + pairs)


@pytest.mark.parametrize(
    ("after", "is_early"),
    [
        ("return length - self.block_size", True),
        ("return length // self.block_size", True),
        ("return length ** self.block_size", False),
        ("return length | self.block_size", False),
        ("return nobody * self.block_size", False),
    ],
)
def test_a_bound_counts_as_early_if_no_number_makes_it_late(
    after: str, is_early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "mutation"))
    bounds, found = import_module("bounds"), import_module("found")
    change = found.Change("kvref/optimized/groups.py", 1, "return length * self.block_size", after)
    assert bounds.is_early(change) is is_early
