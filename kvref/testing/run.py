"""Runs a state machine as a test, and shrinks what it finds.

Hypothesis finds and keeps; the trace is then shrunk by what is known of operations, which takes seconds
where deleting choices takes minutes.
"""

import unittest
from functools import cache
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from kvref.fuzz.shrink import Shrunk, shrink
from kvref.testing.divergence import DivergenceError
from kvref.testing.profiles import plain
from kvref.testing.shows import Tried

if TYPE_CHECKING:
    from kvref.testing.machine import KVCacheMachine

BUDGET = 1500


def run_machine(machine: "type[KVCacheMachine]", profile: settings) -> None:
    """Run a machine. Raises DivergenceError with the smallest trace that shows what was found."""
    try:
        run_state_machine_as_test(machine, settings=profile)
    except DivergenceError as found:
        small = smallest(machine, found)
        if small is None:
            raise
        raise DivergenceError(found.target, found.level, small.trace, small.wrong) from None


def smallest(machine: "type[KVCacheMachine]", found: DivergenceError) -> Shrunk | None:
    """The smallest trace that shows what a machine has found; None if it is not shown again."""
    target, level = machine.aim(), machine.level
    tried = (Tried(level, target, found.trace, mistaken=mistaken) for mistaken in (False, True))
    shrunk = (shrink(found.trace, one, budget=BUDGET) for one in tried)
    return next((one for one in shrunk if one is not None), None)


class StateMachineTest:
    """The attribute `TestCase` of a machine: a test that any runner can run."""

    def __get__(self, _: object, machine: "type[KVCacheMachine]") -> type[unittest.TestCase]:
        return _test_of(machine)


@cache
def _test_of(machine: "type[KVCacheMachine]") -> type[unittest.TestCase]:
    class Test(unittest.TestCase):
        settings = plain()

        def runTest(self) -> None:  # noqa: N802 - unittest's name
            run_machine(machine, self.settings)

    mark: Any = Test.runTest
    mark.is_hypothesis_test = True
    Test.__name__ = Test.__qualname__ = f"{machine.__name__}.TestCase"
    return Test
