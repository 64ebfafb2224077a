import unittest

import pytest
from hypothesis import Phase, seed, settings

from kvref.errors import UserError
from kvref.operations import Configuration, Free, Observation, Operation
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from kvref.testing import PROFILES, DivergenceError, KVCacheMachine, Level
from kvref.testing.run import run_machine

FEW = settings(PROFILES["ci"], max_examples=20)


def open_one(configuration: Configuration) -> OptimizedSession:
    return OptimizedSession(configuration)


class OfAFunction(KVCacheMachine):
    target = open_one


class OfATarget(KVCacheMachine):
    target = InProcessTarget("one", OptimizedSession)


class OfAName(KVCacheMachine):
    target = "optimized"


@pytest.mark.parametrize("machine", [OfAFunction, OfATarget, OfAName])
def test_a_target_can_be_given_in_any_way(machine: type[KVCacheMachine]) -> None:
    run_machine(seed(1)(machine), settings(FEW, max_examples=3))


def test_a_sound_manager_passes_examples_that_the_loaded_profile_chooses() -> None:
    # With CrossHair, too: make test-symbolic.
    run_machine(OfAName, settings(max_examples=10, stateful_step_count=3, phases=[Phase.generate]))


@pytest.mark.parametrize("level", ["invariants", "safe", "hits", "exact"])
def test_a_sound_manager_passes_every_level(level: Level) -> None:
    run_machine(seed(2)(type("Sound", (OfAName,), {"target": "optimized", "level": level})), FEW)


class Generous(ReferenceSession):
    """Hits nothing: as sound as can be, and of no use."""

    def apply(self, operation: Operation) -> Observation:
        request = getattr(operation, "request", None)
        if request in self.requests:
            self.requests[request].skip_reading_prefix_cache = True
        return super().apply(operation)


class Raises(OptimizedSession):
    def apply(self, operation: Operation) -> Observation:
        if isinstance(operation, Free):
            raise IndexError("no such block")
        return super().apply(operation)


def divergence(target: object, level: Level, examples: int) -> DivergenceError:
    machine = type("Machine", (KVCacheMachine,), {"target": target, "level": level})
    with pytest.raises(DivergenceError) as found:
        run_machine(seed(1)(machine), settings(FEW, max_examples=examples))
    return found.value


def test_level_hits_tells_of_a_hit_that_is_missed() -> None:
    found = divergence(InProcessTarget("generous", Generous), "hits", 300)
    assert "hit length" in [one.what for one in found.wrong]


def test_what_a_manager_raises_is_told_with_its_place() -> None:
    found = divergence(Raises, "exact", 100)
    assert found.wrong[0].what == "raised"
    assert "IndexError: no such block" in found.wrong[0].actual
    assert __file__ in found.wrong[0].actual
    assert isinstance(found.trace.operations[-1], Free)


def test_a_failing_machine_fails_as_a_test_of_any_runner() -> None:
    class Failing(KVCacheMachine):
        target = Raises

    assert issubclass(Failing.TestCase, unittest.TestCase)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Failing.TestCase).run(result)
    assert [text.count('"operations":[') for _, text in result.failures] == [1]
    assert not result.errors


def test_a_target_that_is_none_is_refused_in_one_line() -> None:
    class OfNothing(KVCacheMachine):
        target = 17

    with pytest.raises(UserError, match="neither a target nor"):
        OfNothing.aim()


def test_a_subclass_aims_at_its_own_target() -> None:
    class Other(OfATarget):
        target = InProcessTarget("other", ReferenceSession)

    assert OfATarget.aim().name == "one"
    assert Other.aim().name == "other"
