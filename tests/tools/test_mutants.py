"""What `benchmarks/contracts.py` has kept: of each function of the spec and of each invariant mutants were seen to die."""

from typing import Any

import pytest

from invariants import STATE_INVARIANTS, STEP_INVARIANTS
from tests.spec.test_contracts import FUNCTIONS
from tools.prove import objections

KEPT = objections.read()
OBJECTIONS = set(objections.COLUMNS)
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


@pytest.mark.parametrize("invariant", EVERY, ids=lambda invariant: str(invariant.id))
def test_crosshair_objects_to_most_mutants_of_every_invariant(invariant: Any) -> None:
    own = KEPT[f"{invariant.predicate.__module__}.{invariant.predicate.__qualname__}"]
    assert 2 * own[objections.CROSSHAIR] > sum(own.values()) - own.get(objections.EXPLAINED, 0)


def test_the_page_tells_what_was_seen() -> None:
    assert objections.PAGE.read_text() == objections.page(KEPT)


def test_the_page_counts_objections_by_function_and_tool() -> None:
    text = objections.page({"spec.a.f": {"CrossHair": 2, "test": 1}, "invariants.b.g": {"explained": 3}})
    assert "## spec: 3 mutants of 1 functions" in text
    assert "| spec.a.f | 2 | 1 |  |  |" in text
    assert "| all | 0 | 0 | 0 | 3 |" in text
