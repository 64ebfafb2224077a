"""A shadow finds what differs, takes over the engine's state behind it, and costs the engine nothing."""

import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from kvref.operations import (
    AppendTokens,
    Configuration,
    ContinueRequest,
    FullGroup,
    NewRequest,
    NewStep,
    Operation,
    TakeNewBlockIds,
)
from kvref.record import entries as e
from kvref.record.follower import Follower, command_of
from kvref.record.frames import MAGIC, frame_of
from kvref.record.held import view_differences
from kvref.record.restored import FollowingSession
from kvref.record.settings import ShadowSettings
from kvref.record.shadow import RESUME, SUMMARY, Report, Summary, follow
from kvref.record.told import Names, Resumed, told
from kvref.record.writer import Writer, encoder
from kvref.targets.reference import ReferenceSession
from tests.record.made import answered, drawn, entries_of, header_of

IDENTITY = e.Header(Configuration((FullGroup(4),), 9, 64, 4, 4), "vllm 0.23.0", "hash", blocks=True)


def identified(number: int) -> tuple[Configuration, list[e.Entry]]:
    """A case as a shadow is told of it: a number for the last token of each block, and 0 for others."""
    trace = drawn(number)
    plain = ReferenceSession(trace.configuration)
    size = trace.configuration.hash_block_size
    operations: list[Operation] = []

    def numbers(name: str, start: int, count: int) -> tuple[int, ...]:
        hashes = plain.requests[name].block_hashes
        ends = {(at + 1) * size - 1: one for at, one in enumerate(hashes)}
        return tuple(
            1 + int.from_bytes(ends[at][:6], "big") if at in ends else 0 for at in range(start, start + count)
        )

    for operation in trace.operations:
        known = plain.requests.get(getattr(operation, "request", ""))
        start = known.num_tokens if known is not None else 0
        if plain.apply(operation).error is not None:
            break
        match operation:
            case NewRequest(request=name, tokens=tokens):
                skips = operation.skip_reading
                operations.append(NewRequest(name, numbers(name, 0, len(tokens)), skip_reading=skips))
            case AppendTokens(request=name, tokens=tokens):
                operations.append(AppendTokens(name, numbers(name, start, len(tokens))))
            case ContinueRequest(request=name, computed=computed, tokens=tokens):
                operations.append(ContinueRequest(name, computed, numbers(name, computed, len(tokens))))
            case _:
                operations.append(operation)
    session = FollowingSession(trace.configuration)
    pairs = [(operation, session.apply(operation)) for operation in operations]
    return trace.configuration, list(entries_of(pairs))


def stream(configuration: Configuration, noted: Iterable[e.Entry]) -> io.BytesIO:
    header = msgspec.structs.replace(header_of(configuration), tokens="hash")
    frames = [frame_of(msgspec.msgpack.encode(header)), frame_of(encoder().encode(list(noted)))]
    return io.BytesIO(MAGIC + b"".join(frames))


@pytest.mark.parametrize("number", range(10))
def test_numbers_for_blocks_lead_to_the_decisions_that_tokens_do(number: int) -> None:
    trace = drawn(number)
    _, noted = identified(number)
    expected = [one for one in entries_of(answered(trace)) if not hasattr(one, "tokens")]
    assert [one for one in noted if not hasattr(one, "tokens")] == expected


@pytest.mark.parametrize("number", range(10))
def test_an_engine_like_the_reference_shows_no_difference(tmp_path: Path, number: int) -> None:
    configuration, noted = identified(number)
    summary = follow(stream(configuration, noted), tmp_path, "exact", stops=False, ask=None)
    assert (summary.operations, summary.differences, summary.ended) == (len(noted), 0, None)
    assert msgspec.json.decode((tmp_path / SUMMARY).read_bytes(), type=Summary).operations == len(noted)


def spoiled(noted: list[e.Entry]) -> tuple[int, list[e.Entry]]:
    """The entries with another block in an allocation."""
    wrong = list(noted)
    for at, one in enumerate(wrong):
        if isinstance(one, e.Grow | e.Admit) and one.blocks and one.blocks[0]:
            other = ((one.blocks[0][0] + 1, *one.blocks[0][1:]), *one.blocks[1:])
            wrong[at] = msgspec.structs.replace(one, blocks=other)
            return at, wrong
    raise AssertionError


@pytest.mark.parametrize("number", range(5))
def test_a_difference_is_written_with_what_led_to_it(tmp_path: Path, number: int) -> None:
    configuration, noted = identified(number)
    at, wrong = spoiled(noted)
    asked = io.BytesIO()
    summary = follow(stream(configuration, wrong), tmp_path, "exact", stops=False, ask=asked)
    assert asked.getvalue() == RESUME
    assert (summary.differences, summary.unfollowed) == (1, len(noted) - at - 1)
    report = msgspec.json.decode((tmp_path / "difference-01.json").read_bytes(), type=Report)
    assert report.number == at
    assert [one.what for one in report.differences] == ["blocks"]
    assert report.last[-1].operation == report.operation
    assert report.reference is not None


def test_ids_are_each_managers_own_at_level_hits(tmp_path: Path) -> None:
    configuration, noted = identified(1)
    _, wrong = spoiled(noted)
    assert follow(stream(configuration, wrong), tmp_path, "hits", stops=False, ask=None).differences == 0


def test_it_stops_at_the_first_difference_if_asked(tmp_path: Path) -> None:
    configuration, noted = identified(1)
    at, wrong = spoiled(noted)
    summary = follow(stream(configuration, wrong), tmp_path, "exact", stops=True, ask=None)
    assert summary.operations == at + 1
    assert summary.ended is not None


@pytest.mark.parametrize("number", range(12))
def test_a_reference_goes_on_from_any_step_as_one_that_was_there_before(number: int) -> None:
    configuration, noted = identified(number)
    operations = [one.operation for one in told(noted, Names(kept=True))]
    steps = [at for at, operation in enumerate(operations) if isinstance(operation, NewStep)]
    assert steps
    for step in steps:
        session, other = FollowingSession(configuration), FollowingSession(configuration)
        arrived = {}
        for operation in operations[: step + 1]:
            session.apply(operation)
            if isinstance(operation, NewRequest):
                arrived[operation.request] = operation
        other.resume(anew(session, arrived))
        assert view_differences(session.view(), other.view()) == []
        for operation in operations[step + 1 :]:
            mine, theirs = session.apply(operation), other.apply(operation)
            if not isinstance(operation, TakeNewBlockIds):  # who resumes does not know those before
                assert mine == theirs, operation


def anew(session: FollowingSession, arrived: dict[str, NewRequest]) -> Resumed:
    requests = [
        msgspec.structs.replace(one, tokens=tuple(session.requests[name].all_token_ids))
        for name, one in arrived.items()
    ]
    prompts = [session.requests[name].num_prompt_tokens for name in arrived]
    return Resumed(tuple(requests), tuple(prompts), session.view())


HANGS = "import time; time.sleep(600)"
DIES = "import sys; sys.exit(3)"


@pytest.mark.parametrize(
    ("child", "why"), [(HANGS, "has not read on for 0.2 s"), (DIES, "the shadow has ended")]
)
def test_a_shadow_that_hangs_or_dies_is_given_up_in_one_line(child: str, why: str) -> None:
    lines: list[str] = []
    follower = Follower(IDENTITY, (sys.executable, "-c", child), lambda: None, patience=0.2)
    writer = Writer(follower, lines.append)
    deadline = time.monotonic() + 30
    while not lines:
        assert time.monotonic() < deadline
        for _ in range(5000):
            writer.note((15, None, "x" * 50))
        time.sleep(0.01)
    follower._process.kill()
    follower._process.wait()
    assert why in lines[0]


def test_a_defect_of_the_shadow_is_told_in_its_summary(tmp_path: Path) -> None:
    follower = Follower(IDENTITY, command_of(tmp_path, "exact", "continue"), lambda: None)
    follower.write(encoder().encode([(6, 17, True)]))  # a request that has never come
    follower.close()
    follower._process.wait(60)
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert "a defect of the shadow: KeyError" in summary["ended"]
    assert summary["following"] is False


def test_settings_are_the_same_through_the_environment(tmp_path: Path) -> None:
    settings = ShadowSettings(tmp_path, "hits", 7, "stop")
    assert ShadowSettings.of(settings.variables()) == settings
