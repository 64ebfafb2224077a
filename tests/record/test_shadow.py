"""A shadow finds what differs, takes over the engine's state behind it, and costs the engine nothing."""

import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from kvref.cli.shadow import cost_in_words
from kvref.operations import (
    Configuration,
    FullGroup,
    NewRequest,
    NewStep,
    TakeNewBlockIds,
)
from kvref.record import entries as e
from kvref.record.follower import Follower
from kvref.record.frames import MAGIC, frame_of
from kvref.record.held import view_differences
from kvref.record.restored import FollowingSession
from kvref.record.settings import ShadowSettings
from kvref.record.shadow import RESUME, SUMMARY, Level, Report, Shadow, Summary, follow
from kvref.record.told import Names, told
from kvref.record.writer import Writer
from tests.record.made import anew, answered, drawn, entries_of, header_of, identified

IDENTITY = e.Header(Configuration((FullGroup(4),), 9, 64, 4, 4), "vllm 0.23.0", "hash", blocks=True)


def stream(configuration: Configuration, noted: Iterable[e.Entry]) -> io.BytesIO:
    header = msgspec.structs.replace(header_of(configuration), tokens="hash")
    frames = [frame_of(msgspec.msgpack.encode(header)), frame_of(msgspec.msgpack.encode(list(noted)))]
    return io.BytesIO(MAGIC + b"".join(frames))


def at_level(level: Level) -> Callable[[e.Header], Shadow]:
    return lambda header: Shadow(header, level)


@pytest.mark.parametrize("number", range(10))
def test_numbers_for_blocks_lead_to_the_decisions_that_tokens_do(number: int) -> None:
    trace = drawn(number)
    _, noted = identified(number)
    expected = [one for one in entries_of(answered(trace)) if not hasattr(one, "tokens")]
    assert [one for one in noted if not hasattr(one, "tokens")] == expected


@pytest.mark.parametrize("number", range(10))
def test_an_engine_like_the_reference_shows_no_difference(tmp_path: Path, number: int) -> None:
    configuration, noted = identified(number)
    summary = follow(stream(configuration, noted), tmp_path, at_level("exact"), stops=False, ask=None)
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
    summary = follow(stream(configuration, wrong), tmp_path, at_level("exact"), stops=False, ask=asked)
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
    assert (
        follow(stream(configuration, wrong), tmp_path, at_level("hits"), stops=False, ask=None).differences
        == 0
    )


def test_it_stops_at_the_first_difference_if_asked(tmp_path: Path) -> None:
    configuration, noted = identified(1)
    at, wrong = spoiled(noted)
    summary = follow(stream(configuration, wrong), tmp_path, at_level("exact"), stops=True, ask=None)
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


HANGS = "import time; time.sleep(600)"
FOLLOWS = "kvref.targets.vllm.follows"
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
            writer.notes.note((15, None, "x" * 50))
        time.sleep(0.01)
    follower._process.kill()
    follower._process.wait()
    assert why in lines[0]


def test_a_defect_of_the_shadow_is_told_in_its_summary(tmp_path: Path) -> None:
    follower = Follower(
        IDENTITY, (sys.executable, "-m", FOLLOWS, str(tmp_path), "exact", "continue"), lambda: None
    )
    follower.write(msgspec.msgpack.encode([(6, 17, True)]))  # a request that has never come
    follower.close()
    follower._process.wait(60)
    summary = json.loads((tmp_path / SUMMARY).read_text())
    assert "a defect of the shadow: KeyError" in summary["ended"]
    assert summary["following"] is False


def test_settings_are_the_same_through_the_environment(tmp_path: Path) -> None:
    settings = ShadowSettings(tmp_path, "hits", 7, "stop")
    assert ShadowSettings.of(settings.variables()) == settings


def test_what_an_engine_says_that_recording_costs_is_told_and_is_no_operation(tmp_path: Path) -> None:
    configuration, noted = identified(1)
    told = [*noted, e.Cost(3000, 10, 4000, 2, 3_000_000, 1_000_000_000)]
    summary = follow(stream(configuration, told), tmp_path, at_level("exact"), stops=False, ask=None)
    assert summary.operations == len(noted)
    assert summary.cost is not None
    words = cost_in_words(summary.cost)
    assert words.startswith("0.42% of the engine's thread: 3000 calls of 0.40 µs")
    assert "2 states of 1.5 ms, in 1.0 s" in words


@pytest.mark.parametrize("at", [1, 30, 60])
def test_a_cost_between_an_operation_and_its_state_parts_nothing(tmp_path: Path, at: int) -> None:
    configuration, noted = identified(1)
    noted[at:at] = [e.Cost(1, 1, 1, 0, 0, 1)]
    assert (
        follow(stream(configuration, noted), tmp_path, at_level("exact"), stops=True, ask=None).differences
        == 0
    )
