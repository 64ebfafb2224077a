"""A trace file is read with care, and replayed against the reference."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from kvref.errors import UserError
from kvref.operations import (
    Allocate,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    SinkGroup,
    Trace,
)
from kvref.replay import read_trace, replay
from kvref.targets.base import CaseResult, run_case
from kvref.targets.deviations import Deviation, Verdict
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from tests.fuzz.faults import FaultyTarget, FreesInReverse
from tests.test_operations import traces

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
REFUSED = msgspec.structs.replace(FULL, hash_block_size=3)
STEPS: tuple[Operation, ...] = (
    NewRequest("r", tuple(range(9))),
    NewStep(),
    Lookup("r"),
    Allocate("r", 0, 9, hit=0),
    NewStep(),
    Free("r"),
)
TRACE = Trace(FULL, STEPS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


def refusal(path: Path, text: bytes) -> str:
    path.write_bytes(text)
    with pytest.raises(UserError) as refused:
        read_trace(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_written_trace_is_read(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(TRACE))
    assert read_trace(path) == TRACE


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.json cannot be read \(No such file or directory\)"):
        read_trace(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_trace(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_a_trace_cut_short_is_no_trace(path: Path, share: float) -> None:
    whole = msgspec.json.encode(TRACE)
    assert "not a trace of format 1" in refusal(path, whole[: int(len(whole) * share)])


@pytest.mark.parametrize("text", [b"[]", b"\xff\xfe", b'{"format": 2}', b"\0" * 9, b"[" * 100_000])
def test_anything_else_is_no_trace(path: Path, text: bytes) -> None:
    assert "not a trace of format 1" in refusal(path, text)


def test_an_operation_on_a_request_that_has_not_arrived_is_told_by_its_line(path: Path) -> None:
    text = msgspec.json.encode(Trace(FULL, (*STEPS, Free("nobody"))))
    assert "operation 6 names request 'nobody', which has not arrived" in refusal(path, text)


@pytest.mark.parametrize("embeds", [b"", b"1234", b"1234567", b"123456789012"])
def test_embeddings_have_four_bytes_a_token(path: Path, embeds: bytes) -> None:
    text = msgspec.json.encode(Trace(FULL, (NewStep(), NewRequest("r", (0, 0), embeds=embeds))))
    assert "operation 1 needs 4 bytes of embeds a token" in refusal(path, text)
    path.write_bytes(msgspec.json.encode(Trace(FULL, (NewRequest("r", (0, 0), embeds=b"12345678"),))))
    read_trace(path)


def test_an_allocation_of_a_lookup_that_was_not_made_is_bad_input(path: Path) -> None:
    steps = (NewRequest("r", (1, 2)), NewStep(), Allocate("r", 0, 2, hit=0))
    text = msgspec.json.encode(Trace(FULL, steps))
    assert "operation 2 uses a lookup that was not made" in refusal(path, text)


def test_a_case_ends_with_a_refusal_or_with_a_mistake() -> None:
    assert run_case(ReferenceSession, Trace(REFUSED, ())).refused is not None
    mistake = Trace(FULL, (NewStep(), Evict((9,)), NewStep()))
    assert len(run_case(ReferenceSession, mistake).digests) == 2


def test_the_reference_agrees_with_itself_to_the_end() -> None:
    assert replay(ReferenceSession, ReferenceTarget(), TRACE) == (6, None, None)


def test_a_divergence_is_found_where_it_begins() -> None:
    agreed, known, finding = replay(ReferenceSession, FaultyTarget(FreesInReverse), TRACE)
    assert (agreed, known) == (5, None)
    assert finding is not None
    assert finding.operation == Free("r")
    assert finding.trace.operations == STEPS
    assert [difference.what for difference in finding.differences] == ["free queue"]


def deviation(**more: Any) -> Deviation:
    return Deviation(
        "Q-0",
        "FREE-3",
        ("1",),
        Verdict.COSMETIC,
        "blocks are freed in reverse",
        concerns=lambda configuration: isinstance(configuration.groups[0], FullGroup),
        recognises=lambda situation: isinstance(situation.operation, Free),
        **more,
    )


def test_a_catalogued_divergence_is_known_and_still_explained() -> None:
    target = FaultyTarget(FreesInReverse, (deviation(),))
    agreed, known, finding = replay(ReferenceSession, target, TRACE)
    assert agreed == 5
    assert known is not None
    assert known.id == "Q-0"
    assert finding is not None


def test_a_recogniser_is_asked_about_the_state_right_before_the_operation() -> None:
    asked: list[int] = []

    def held(situation: Any) -> bool:
        asked.append(len(situation.session.view().free_queue))
        return False

    odd = Deviation("Q-0", "FREE-3", ("1",), Verdict.COSMETIC, "", lambda _: True, held)
    _, known, _ = replay(ReferenceSession, FaultyTarget(FreesInReverse, (odd,)), TRACE)
    assert known is None
    assert asked == [8 - 3]  # nine tokens in blocks of four hold three of eight


class RefusesSinks(FaultyTarget):
    """Does not build what the reference builds."""

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        return [CaseResult(refused="no sinks") for _ in traces]


SINK = Trace(msgspec.structs.replace(FULL, groups=(SinkGroup(4, 4),)), STEPS)


def test_a_configuration_that_both_refuse_is_agreement() -> None:
    assert replay(ReferenceSession, ReferenceTarget(), Trace(REFUSED, STEPS)) == (0, None, None)


def test_a_configuration_that_one_side_refuses_is_a_finding() -> None:
    agreed, known, finding = replay(ReferenceSession, RefusesSinks(FreesInReverse), SINK)
    assert (agreed, known) == (0, None)
    assert finding is not None
    (difference,) = finding.differences
    assert (difference.what, difference.expected, difference.actual) == ("construction", "built", "no sinks")
    assert finding.title == "case None: construction differs in construction"


def test_unless_it_is_a_known_deviation_of_construction() -> None:
    odd = deviation(at_construction=True)
    assert replay(ReferenceSession, RefusesSinks(FreesInReverse, (odd,)), TRACE) == (0, odd, None)
    assert replay(ReferenceSession, RefusesSinks(FreesInReverse, (odd,)), SINK)[1] is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces)
def test_whatever_is_a_trace_is_read_as_it_was_written_or_refused_by_name(path: Path, trace: Trace) -> None:
    path.write_bytes(msgspec.json.encode(trace))
    read: object = None
    with suppress(UserError):
        read = read_trace(path)
    assert read in (trace, None)
