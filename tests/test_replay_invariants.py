"""A trace is replayed at level invariants: what does not hold of a target's own state is told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import Allocate, Free, Observation, Operation, Trace
from kvref.replay_invariants import replay_invariants
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.zoo.cases import asked
from kvref.zoo.catalogue import bug_called
from tests.command import Kvref
from tests.fuzz.faults import FaultyTarget
from tests.test_replay_safe import FULL, REFERENCE, STEPS, TRACE

LEAVES = Trace(FULL, (*STEPS[:5], Free("a")))


class Leaky(OptimizedSession):
    """Keeps what is freed, and does not say so."""

    def apply(self, operation: Operation) -> Observation:
        return Observation() if isinstance(operation, Free) else super().apply(operation)


class Broken(OptimizedSession):
    """Raises where a request leaves."""

    def perform(self, operation: Operation) -> Any:
        return super().perform(operation) if not isinstance(operation, Free) else 1 // 0


def test_a_sound_manager_keeps_the_invariants() -> None:
    assert replay_invariants(TRACE, REFERENCE) == ((), None)
    assert replay_invariants(LEAVES, InProcessTarget("optimized", OptimizedSession)) == ((), None)


def test_a_broken_invariant_is_told_with_the_operation_that_broke_it() -> None:
    wrong, at = replay_invariants(LEAVES, InProcessTarget("leaky", Leaky))
    assert at == len(LEAVES.operations) - 1
    assert {one.expected for one in wrong} == {"holds"}


def test_what_a_manager_raises_is_wrong() -> None:
    wrong, at = replay_invariants(LEAVES, InProcessTarget("broken", Broken))
    assert at == len(LEAVES.operations) - 1
    assert (wrong[0].what, wrong[0].expected) == ("raised", "nothing")
    assert wrong[0].actual.startswith("ZeroDivisionError")


def test_an_admission_takes_what_the_target_found() -> None:
    without = msgspec.structs.replace(FULL, enable_caching=False)
    assert replay_invariants(Trace(without, STEPS), REFERENCE) == ((), None)


def test_a_trace_may_end_with_a_callers_mistake() -> None:
    mistake = Allocate("a", 0, 0)
    assert replay_invariants(Trace(FULL, (STEPS[0], mistake)), REFERENCE).wrong == ()
    with pytest.raises(UserError, match="operation 1 cannot follow on reference: PROTO-1"):
        replay_invariants(Trace(FULL, (STEPS[0], mistake, Free("a"))), REFERENCE)


def test_what_cannot_be_asked_is_refused() -> None:
    broken = msgspec.structs.replace(FULL, hash_block_size=3)
    with pytest.raises(UserError, match="reference refuses the trace's configuration"):
        replay_invariants(Trace(broken, STEPS), REFERENCE)
    with pytest.raises(UserError, match="one operation at a time"):
        replay_invariants(TRACE, FaultyTarget(OptimizedSession))


def test_a_bug_that_no_read_shows_is_shown() -> None:
    assert replay_invariants(LEAVES, asked(bug_called("usage-counts-content"), "invariants")).at == 5


def test_the_command_tells_by_its_exit_code(kvref: Kvref, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(msgspec.json.encode(LEAVES))
    sound = kvref("replay", path, "--level", "invariants", "--target", "optimized")
    assert sound.code == 0
    assert "nothing is wrong" in sound.out
    wrong = kvref("replay", path, "--level", "invariants", "--target", "zoo==the-last-block-is-never-freed")
    assert wrong.code == 1
    assert "wrong at operation 5 of 6" in wrong.out
    driver = kvref("replay", path, "--level", "invariants", "--target-cmd", "true")
    assert "--level safe" in driver.refused
