"""What `benchmarks/contracts.py` has kept: of each function of the spec and of each invariant mutants were seen to die."""

import json
from pathlib import Path
from typing import Any

import pytest

from invariants import STATE_INVARIANTS, STEP_INVARIANTS
from tests.spec.test_contracts import FUNCTIONS

KEPT: dict[str, dict[str, int]] = json.loads(
    (Path(__file__).parent.parent.parent / "docs" / "contracts.json").read_text()
)
OBJECTIONS = {"CrossHair", "test", "never ends", "explained"}
EVERY: list[Any] = [*STATE_INVARIANTS, *STEP_INVARIANTS]
WANTED = sorted(
    f"{function.__module__}.{function.__qualname__}"
    for function in (*FUNCTIONS.values(), *(invariant.predicate for invariant in EVERY))
    if not getattr(function, "__isabstractmethod__", False)
)


def test_no_mutant_survives_without_a_reason() -> None:
    assert {fate for fates in KEPT.values() for fate in fates} <= OBJECTIONS


def test_all_public_functions_of_spec_and_all_invariants_are_asked_for() -> None:
    assert len(WANTED) > len(EVERY)
    assert {"spec.hits.longest_hit", "invariants.hits.hit_length"} <= set(WANTED)


@pytest.mark.parametrize("name", WANTED)
def test_every_function_of_the_spec_and_every_invariant_was_mutated(name: str) -> None:
    assert sum(KEPT[name].values()) > 0
    assert set(KEPT[name]) - {"explained"}
