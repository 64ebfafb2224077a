"""A bug that a small scope can show is found, by no more operations than fuzzing and shrinking takes."""

from pathlib import Path

import msgspec
import pytest

from kvref.check.faults import FAULTS, check_fault, compared
from kvref.errors import UserError
from kvref.zoo.catalogue import BUGS
from kvref.zoo.results import Results

HANDFUL = (
    "a-release-forgets-other-users",
    "the-youngest-duplicate-answers",
    "a-lost-copy-takes-the-others-along",
    "released-entries-stay-in-the-table",
    "a-chunk-slides",
    "the-running-state-is-released",
    "a-state-is-hit-before-it-is-there",
    "eagle-needs-no-block-behind",
    "hits-count-as-free",
    "statistics-never-start-anew",
)
ZOO = Path(__file__).parents[2] / "docs" / "zoo.json"


@pytest.mark.parametrize("name", HANDFUL)
def test_a_seeded_fault_is_found_in_as_few_operations_as_fuzzing_takes(name: str) -> None:
    zoo = msgspec.json.decode(ZOO.read_bytes(), type=Results)
    (entry,) = [entry for entry in zoo.entries if entry.name == name]
    (fuzzed,) = [run.reproducer for run in entry.runs if (run.driver, run.level) == ("fuzz", "exact")]
    found = check_fault(name).counterexample
    assert found is not None
    assert fuzzed is not None
    assert len(found.operations) <= fuzzed


def test_a_fault_is_compared_with_what_the_fuzzer_makes_of_it() -> None:
    fault = compared("sinks-are-not-set-aside", check_fault("sinks-are-not-set-aside"))
    assert (fault.length, fault.fuzzed, fault.rule) == (1, 1, "SINK-1")
    assert fault.is_shortest
    longer = msgspec.structs.replace(fault, fuzzed=0)
    assert not longer.is_shortest


def test_every_fault_is_of_the_zoo_and_they_are_twenty_at_least() -> None:
    assert {*FAULTS} <= {bug.name for bug in BUGS}
    assert len(FAULTS) >= 20


def test_a_bug_that_no_small_scope_shows_is_one_line() -> None:
    with pytest.raises(UserError, match="no small scope is known to show"):
        check_fault("a-key-leaves-out-the-salt")
