"""What the mutants of both managers showed, as `benchmarks/mutation/report.py` has kept it."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

KEPT: dict[str, Any] = msgspec.json.decode(
    (Path(__file__).parent.parent / "docs" / "mutation.json").read_bytes()
)


@pytest.mark.parametrize("manager", ["optimized", "reference"])
def test_what_was_run_was_killed_or_is_listed(manager: str) -> None:
    one = KEPT[manager]
    assert one["run"] == one["killed"] + len(one["survivors"])
    assert one["run"] <= one["mutants"] - one["in_annotations"]


@pytest.mark.parametrize("manager", ["optimized", "reference"])
def test_half_of_the_killed_were_killed_within_five_seconds(manager: str) -> None:
    assert KEPT[manager]["seconds_median"] < 5


def test_every_mutant_of_the_reference_was_run_and_every_survivor_has_a_reason() -> None:
    reference = KEPT["reference"]
    assert reference["run"] == reference["mutants"] - reference["in_annotations"]
    assert [one for one in reference["survivors"] if not one["why"]] == []
