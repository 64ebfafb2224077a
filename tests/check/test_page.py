"""docs/check.md is what docs/check.json says, and that all of it is exhausted."""

from pathlib import Path

import msgspec
import pytest

from kvref.check.configurations import ALL, SETUPS, scope_called
from kvref.check.coverage import EVENTS, REJECTION, due
from kvref.check.faults import FAULTS
from kvref.check.page import Results, page
from kvref.check.run import Bound, Result, run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def results() -> Results:
    return msgspec.json.decode((DOCS / "check.json").read_bytes(), type=Results)


def test_the_page_tells_what_was_found(results: Results) -> None:
    assert (DOCS / "check.md").read_text(encoding="utf-8") == page(results)


def test_every_configuration_was_exhausted_within_its_bound(results: Results) -> None:
    assert [one.name for one in results.checks] == [*ALL]
    assert {one.name for one in results.checks if not one.exhausted} == set()
    assert all(one.bound == Bound.of(scope_called(one.name)) for one in results.checks)


def test_everything_came_about_that_a_configuration_is_about(results: Results) -> None:
    for one in results.checks:
        assert due(scope_called(one.name)) <= {*one.shown} <= {*EVENTS}, one.name
        assert not one.missing


def test_drafts_are_rejected_in_one_scope_at_least_of_those_that_have_drafts(results: Results) -> None:
    drafted = {name for name, setup in SETUPS.items() if setup.drafts}
    shown = {one.name.partition("/")[0] for one in results.checks if REJECTION in one.shown}
    assert shown == drafted


def test_every_seeded_fault_was_found_by_no_more_operations_than_fuzzing_takes(results: Results) -> None:
    assert [one.bug for one in results.faults] == [*FAULTS]
    assert all(one.is_shortest for one in results.faults)


def test_what_never_came_about_is_on_the_page(results: Results) -> None:
    first = results.checks[0]
    lacking: Result = msgspec.structs.replace(first, missing=("eviction",), shown={"hit": 1234})
    told = page(Results(checks=[lacking]))
    assert "exhausted, without any eviction" in told
    assert f"Not all came about in {first.name}." in told
    assert f"| {first.name} | 1,234 |  |" in told


@pytest.mark.parametrize("name", ["cross/two", "full/ahead", "chunked/ahead", "full+full+sizes/one"])
def test_a_row_is_what_is_found_now(name: str, results: Results) -> None:
    (row,) = [one for one in results.checks if one.name == name]
    (found,) = run([name])
    assert msgspec.structs.replace(found, seconds=row.seconds) == row
