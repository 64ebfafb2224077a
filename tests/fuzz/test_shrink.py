"""Shrinking: shorter, still showing it, the same every time."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvref.errors import UserError
from kvref.fuzz.campaign import Finding, Settings, run
from kvref.fuzz.shrink import is_well_formed, shrink
from kvref.operations import (
    Free,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Reset,
    StepEnds,
    TakeEvents,
    Trace,
)
from kvref.replay import replay
from kvref.targets.reference import ReferenceSession
from tests.fuzz.faults import (
    CountsAQueryTooMany,
    Fault,
    FaultyTarget,
    FreesInReverse,
    SaysThatItReset,
)

ARRIVES, LOOKS, RESETS = NewRequest("r", (1, 2)), Lookup("r"), Reset()
NOISE: list[Operation] = [NewStep(), StepEnds(), TakeEvents(), NewRequest("s", (3,)), Free("s")]


def has(*wanted: Operation) -> Callable[[Sequence[Operation]], bool]:
    """Whether all of these are left, in this order."""

    def shows(operations: Sequence[Operation]) -> bool:
        rest = iter(operations)
        return all(operation in rest for operation in wanted)

    return shows


def test_only_what_is_needed_is_left() -> None:
    operations = [*NOISE, ARRIVES, *NOISE[:3], LOOKS, *NOISE[:3], RESETS]
    assert shrink(operations, has(ARRIVES, RESETS)) == [ARRIVES, RESETS]
    assert shrink(operations, has(RESETS)) == [RESETS]


def test_the_last_operation_stays_whatever_is_said() -> None:
    assert shrink([ARRIVES, LOOKS, RESETS], lambda _: True) == [RESETS]
    assert shrink([RESETS], lambda _: True) == [RESETS]
    assert shrink([], lambda _: True) == []


def test_what_can_be_dropped_only_after_something_earlier_is_dropped_too() -> None:
    first, second = TakeEvents(), StepEnds()
    assert shrink([first, second, RESETS], lambda left: first not in left or second in left) == [RESETS]


def test_nothing_is_dropped_if_everything_is_needed() -> None:
    operations = [ARRIVES, LOOKS, *NOISE, RESETS]
    assert shrink(operations, lambda left: len(left) == len(operations)) == operations


def test_a_request_stays_as_long_as_it_is_named() -> None:
    asked: list[Sequence[Operation]] = []

    def shows(left: Sequence[Operation]) -> bool:
        asked.append(list(left))
        return LOOKS in left

    assert shrink([*NOISE, ARRIVES, LOOKS, RESETS], shows) == [ARRIVES, LOOKS, RESETS]
    assert all(is_well_formed(left) for left in asked)


def test_a_request_arrives_before_it_is_named() -> None:
    assert is_well_formed([])
    assert is_well_formed([ARRIVES, LOOKS, RESETS])
    assert not is_well_formed([LOOKS])
    assert not is_well_formed([LOOKS, ARRIVES])


def test_the_budget_bounds_the_attempts() -> None:
    attempts = 0

    def shows(left: Sequence[Operation]) -> bool:
        nonlocal attempts
        del left
        attempts += 1
        return False

    shrink([*NOISE, ARRIVES] * 20, shows, budget=17)
    assert 0 < attempts <= 17


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([*NOISE, ARRIVES, LOOKS]), max_size=25), st.sets(st.integers(0, 24), max_size=4)
)
def test_the_result_is_well_formed_shows_it_and_is_minimal(noise: list[Operation], needed: set[int]) -> None:
    operations = [ARRIVES, NewRequest("s", ()), *noise, RESETS]
    shows = has(*(operation for at, operation in enumerate(operations[:-1]) if at in needed), RESETS)
    left = shrink(operations, shows, budget=10_000)
    assert is_well_formed(left)
    assert shows(left)
    assert left == shrink(operations, shows, budget=10_000)
    for at in range(len(left) - 1):
        shorter = left[:at] + left[at + 1 :]
        assert not (is_well_formed(shorter) and shows(shorter))


def finding_on(target: FaultyTarget, trace: Trace) -> Finding | None:
    try:
        return replay(ReferenceSession, target, trace)[2]
    except UserError:
        return None


@pytest.mark.parametrize(
    ("fault", "most"), [(FreesInReverse, 5), (CountsAQueryTooMany, 2), (SaysThatItReset, 4)]
)
def test_a_finding_shrinks_to_a_few_operations_that_show_the_same(fault: type[Fault], most: int) -> None:
    target = FaultyTarget(fault)
    report = run(Settings(1, 40, None), ReferenceSession, target, lambda _: None)
    first = report.findings[0]

    def shows(left: Sequence[Operation]) -> bool:
        again = finding_on(target, Trace(first.trace.configuration, tuple(left)))
        same = again is not None and again.operation == first.operation
        return same and len(again.trace.operations) == len(left) if again else False

    left = shrink(first.trace.operations, shows)
    assert shows(left)
    assert len(left) <= most < len(first.trace.operations)
    assert shrink(first.trace.operations, shows) == left
