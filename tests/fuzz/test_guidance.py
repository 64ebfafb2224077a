"""Guided cases reach what random choice seldom does, and follow from their numbers all the same."""

import pytest

from kvref.fuzz.cases import draw_case
from kvref.fuzz.choices import Seeded
from kvref.fuzz.coverage import EVENTS, FEATURES, KINDS, Coverage, features_of
from kvref.fuzz.guidance import EVENT_WEIGHTS, FEATURE_WEIGHTS, OF_REQUESTS, draw_aim, weights_for
from kvref.fuzz.histogram import CELLS, DUE, EXCUSES, Cell, below_floor, nested
from kvref.fuzz.weights import DEFAULT
from kvref.targets.reference import ReferenceSession
from tests.rules_index import INDEX, read_index


def drawn(number: int, *, guidance: bool = True, length: int = 30) -> Coverage:
    return draw_case(1, "mixed", number, length, ReferenceSession, (), guidance=guidance).coverage


def test_a_guided_case_follows_from_its_number() -> None:
    for number in (1, 2, 5):
        first = draw_case(1, "mixed", number, 30, ReferenceSession, (), guidance=True)
        assert draw_case(1, "mixed", number, 30, ReferenceSession, (), guidance=True) == first


def test_two_of_four_cases_have_an_aim_and_the_others_are_as_without_guidance() -> None:
    aimed = [number for number in range(8) if draw_aim(Seeded("x"), number) is not None]
    assert aimed == [1, 2, 5, 6]
    for number in (0, 3):
        guided = draw_case(1, "mixed", number, 30, ReferenceSession, (), guidance=True)
        assert guided == draw_case(1, "mixed", number, 30, ReferenceSession, ())


def test_a_case_with_an_aim_has_its_kind_and_its_feature() -> None:
    for number in [number for number in range(80) if number % 4 in (1, 2)]:
        aim = draw_aim(Seeded(f"1/mixed/{number}"), number)
        case = draw_case(1, "mixed", number, 5, ReferenceSession, (), guidance=True)
        features = features_of(case.trace.configuration)
        assert aim is not None
        assert aim.kind in features
        assert aim.feature in features or aim.feature in OF_REQUESTS


def test_every_aim_has_weights_of_its_own_and_is_due() -> None:
    assert set(FEATURE_WEIGHTS) == set(FEATURES)
    assert set(EVENT_WEIGHTS) == set(EVENTS)
    assert weights_for(None) == DEFAULT
    assert all(weights_for(cell) != DEFAULT for cell in DUE)
    assert {draw_aim(Seeded(str(number)), 1) for number in range(300)} <= set(DUE)


def test_guidance_leaves_fewer_cells_with_few_visits() -> None:
    """Counted on seed 1; the figures of longer campaigns are `benchmarks/guidance.py`'s."""

    def unseen(*, guidance: bool) -> int:
        coverage = Coverage()
        for number in range(240):
            coverage.add(drawn(number, guidance=guidance, length=60))
        return len(below_floor(coverage, 3))

    assert unseen(guidance=True) < unseen(guidance=False)


# The floor


def test_a_cell_is_below_the_floor_or_not() -> None:
    coverage = Coverage()
    coverage.cells.update(dict.fromkeys(DUE, 100))
    assert below_floor(coverage, 100) == []
    coverage.cells[DUE[7]] = 99
    coverage.cells[DUE[3]] = 0
    assert below_floor(coverage, 100) == [DUE[3], DUE[7]]


def test_every_excuse_names_a_rule_and_excuses_something_that_nothing_else_does() -> None:
    rules = {rule.id for rule in read_index(INDEX.read_text(encoding="utf-8"))}
    for excuse in EXCUSES:
        assert excuse.rule in rules
        assert set(excuse.kinds) <= set(KINDS)
        assert set(excuse.features) <= set(FEATURES)
        alone = [c for c in CELLS if [e for e in EXCUSES if e.covers(c)] == [excuse]]
        assert alone, excuse


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_excused_does_not_happen_where_it_is_not_the_references_alone(seed: int) -> None:
    coverage = Coverage()
    for number in range(300):
        coverage.add(draw_case(seed, "mixed", number, 40, ReferenceSession, (), guidance=True).coverage)
    met = [Cell(*cell) for cell, count in coverage.cells.items() if count]
    assert [cell for cell in met if cell not in DUE and cell.kind != "sink"] == []


def test_the_histogram_is_told_whole() -> None:
    coverage = Coverage()
    coverage.cells["full", "EAGLE", "hit"] = 5
    told = nested(coverage)
    assert told["full"]["EAGLE"] == {"hit": 5, "eviction": 0, "refusal": 0}
    assert sum(len(events) for features in told.values() for events in features.values()) == len(CELLS)
