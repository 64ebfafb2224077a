"""A trace is replayed at level safe: wrong reads are told, and what cannot be followed takes one line."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Reset,
    StepEnds,
    Trace,
)
from kvref.replay_safe import replay_safe
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from tests.command import Kvref
from tests.fuzz.faults import FaultyTarget

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
STEPS: tuple[Operation, ...] = (
    NewRequest("a", tuple(range(9))),
    NewStep(),
    Allocate("a", 0, 9),
    StepEnds(),
    AppendTokens("a", (9,)),
    NewRequest("b", tuple(range(9))),
    NewStep(),
    Lookup("b"),
    Allocate("b", 0, 1, hit=8),
    StepEnds(),
)
TRACE = Trace(FULL, STEPS)
REFERENCE = ReferenceTarget()


class Leaky(ReferenceSession):
    """Keeps what is freed."""

    def perform(self, operation: Operation) -> Any:
        return super().perform(GetBlocks(operation.request) if isinstance(operation, Free) else operation)


class Forgetful(ReferenceSession):
    """Tells another block than the one that was hit."""

    def perform(self, operation: Operation) -> Any:
        seen: Any = super().perform(operation)
        if isinstance(operation, GetBlocks) and operation.request == "b":
            return msgspec.structs.replace(seen, blocks=((8, *seen.blocks[0][1:]),))
        return seen


def test_a_sound_manager_reads_what_it_should() -> None:
    assert replay_safe(TRACE, REFERENCE) == ((), None)


def test_a_wrong_read_is_told_with_the_step_that_reads() -> None:
    wrong, at = replay_safe(TRACE, InProcessTarget("faulty", Forgetful))
    assert at == len(STEPS) - 1
    assert "b reads token 0 in group 0 (full): block 8" in wrong[0].what


def test_a_table_that_the_trace_asks_for_is_told_once() -> None:
    asked = (*STEPS[:9], GetBlocks("b"), *STEPS[9:])
    assert replay_safe(Trace(FULL, asked), REFERENCE) == ((), None)
    assert replay_safe(Trace(FULL, asked), InProcessTarget("faulty", Forgetful)).at == len(asked) - 1


def test_a_leak_is_told() -> None:
    steps = (*STEPS[:4], Free("a"), Reset())
    assert replay_safe(Trace(FULL, steps), REFERENCE) == ((), None)
    assert replay_safe(Trace(FULL, steps), InProcessTarget("leaky", Leaky)).at == 5


def test_an_admission_takes_what_the_target_found() -> None:
    shorter = msgspec.structs.replace(FULL, enable_caching=False)
    assert replay_safe(Trace(shorter, STEPS), REFERENCE) == ((), None)


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(UserError, match="operation 1 cannot follow on reference: PROTO-1"):
        replay_safe(Trace(FULL, (STEPS[0], Allocate("a", 0, 9))), REFERENCE)
    broken = msgspec.structs.replace(FULL, hash_block_size=3)
    with pytest.raises(UserError, match="reference refuses the trace's configuration"):
        replay_safe(Trace(broken, STEPS), REFERENCE)
    with pytest.raises(UserError, match="one operation at a time"):
        replay_safe(TRACE, FaultyTarget(ReferenceSession))


def test_the_command_tells_by_its_exit_code(kvref: Kvref, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(msgspec.json.encode(TRACE))
    sound = kvref("replay", path, "--level", "safe", "--target", "reference")
    assert sound.code == 0
    assert "nothing is wrong" in sound.out
    path.write_bytes(msgspec.json.encode(Trace(FULL, (STEPS[0], Allocate("a", 0, 9)))))
    assert "PROTO-1" in kvref("replay", path, "--level", "safe", "--target", "reference").refused


def test_the_command_shows_what_is_wrong(
    kvref: Kvref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(msgspec.json.encode(TRACE))
    monkeypatch.setattr(
        "kvref.targets.named.open_target", lambda *_, **__: InProcessTarget("faulty", Forgetful)
    )
    ended = kvref("replay", path, "--level", "safe")
    assert ended.code == 1
    assert f"operation {len(STEPS) - 1} of {len(STEPS)}" in ended.out
    assert "token 0 of b" in ended.out
    assert "nothing" in ended.out
