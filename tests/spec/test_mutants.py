"""What `benchmarks/contracts.py` has kept: CrossHair, or the test beside it, objects to the mutants of the spec."""

import json
from pathlib import Path

import pytest

from tests.spec.test_contracts import FUNCTIONS

KEPT: dict[str, dict[str, int]] = json.loads(
    (Path(__file__).parent.parent.parent / "docs" / "contracts.json").read_text()
)


def test_no_mutant_survives_without_a_reason() -> None:
    assert [name for name, fates in KEPT.items() if "nobody" in fates] == []


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_of_the_spec_was_mutated(name: str) -> None:
    function = FUNCTIONS[name]
    if not getattr(function, "__isabstractmethod__", False):
        assert sum(KEPT[f"{function.__module__}.{name}"].values()) > 0
