"""How short what the machine finds gets, on managers with one fault each; and that it finds it at all."""

import pytest
from hypothesis import seed, settings

from kvref.operations import Evict
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.testing import PROFILES, DivergenceError, KVCacheMachine, Level
from kvref.testing.run import run_machine
from tests.dataplane.faults import FAULTS as OF_DATA
from tests.fuzz.faults import (
    CountsAQueryTooMany,
    Fault,
    FreesInReverse,
    HitsTheLastToken,
    IgnoresUnknownBlocks,
    KeepsWhatIsNotRead,
    LeaksABlock,
    RefusesWhatJustFits,
    RefusesWindows,
    TakesTheYoungestBlocks,
    TellsNoParents,
)
from tests.optimized.faults import FAULTS as OF_DECISIONS

EXAMPLES = settings(PROFILES["ci"], max_examples=2000)


def found_by(target: object, level: Level) -> DivergenceError:
    machine = type("Machine", (KVCacheMachine,), {"target": target, "level": level})
    with pytest.raises(DivergenceError) as found:
        run_machine(seed(1)(machine), EXAMPLES)
    return found.value


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (RefusesWindows, 0),
        (CountsAQueryTooMany, 2),
        (TellsNoParents, 6),
        (TakesTheYoungestBlocks, 3),
        (RefusesWhatJustFits, 4),
        (FreesInReverse, 5),
        (LeaksABlock, 5),
        (HitsTheLastToken, 6),
        (KeepsWhatIsNotRead, 6),
    ],
)
def test_a_fault_of_the_reference_is_shown_in_a_few_operations(fault: type[Fault], most: int) -> None:
    trace = found_by(fault, "exact").trace
    assert len(trace.operations) <= most
    assert len(trace.configuration.groups) <= 2


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        ("scratch blocks go to the back", 5),
        ("a hit block stays in the queue", 9),
        ("a step is quiet for a token too long", 6),
        ("one block too many is cached", 4),
        ("a duplicate is forgotten", 6),
    ],
)
def test_so_is_a_fault_of_the_optimized_manager(
    fault: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, name, faulty = OF_DECISIONS[fault]
    monkeypatch.setattr(place, name, faulty(getattr(place, name)))
    trace = found_by(InProcessTarget("faulty", OptimizedSession), "exact").trace
    assert len(trace.operations) <= most


@pytest.mark.parametrize(
    ("fault", "most"), [("the adapter is not in the key", 8), ("images are not in the key", 9)]
)
def test_so_is_data_under_a_wrong_key(fault: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = OF_DATA[fault](monkeypatch)
    assert len(found_by(InProcessTarget("faulty", opener), "safe").trace.operations) <= most


def test_a_mistake_of_the_caller_that_goes_unnoticed_is_shown_alone() -> None:
    found = found_by(IgnoresUnknownBlocks, "exact")
    assert found.wrong[0].expected == "UnknownBlockError"
    assert [type(operation) for operation in found.trace.operations] == [Evict]
