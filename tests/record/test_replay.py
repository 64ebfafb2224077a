"""A recording is performed piece by piece, and what is wrong is told at the first operation that shows it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from kvref.compare import first_mismatch
from kvref.operations import Lookup, Trace
from kvref.record.held import view_differences
from kvref.record.reader import Recording
from kvref.record.replay import AsRecorded, OnTarget, Replay
from kvref.record.told import Told
from kvref.targets.base import run_case
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from tests.command import Kvref
from tests.fuzz.faults import FreesInReverse
from tests.record.made import answered, drawn, entries_of, write


def replay_of(trace: Trace, opener: Opener, every: int) -> Replay:
    def recorded() -> Iterator[Told]:
        return (Told(operation, seen) for operation, seen in answered(trace))

    def side() -> OnTarget:
        return OnTarget(trace.configuration, opener(trace.configuration))

    return Replay(trace.configuration, recorded, ReferenceSession, side, every=every)


@pytest.mark.parametrize("every", [1, 7, 1000])
@pytest.mark.parametrize("number", range(6))
def test_a_manager_like_the_reference_agrees_to_the_end(number: int, every: int) -> None:
    trace = drawn(number)
    found = replay_of(trace, ReferenceSession, every).run()
    assert (found.agreed, found.wrong) == (len(answered(trace)), ())


def test_the_first_difference_is_found_however_seldom_states_are_compared() -> None:
    met = 0
    for number in range(30):
        trace = drawn(number)
        trace = Trace(trace.configuration, trace.operations[: len(answered(trace))])
        at = first_mismatch(run_case(ReferenceSession, trace), run_case(FreesInReverse, trace))
        for every in (1, 7, 1000):
            found = replay_of(trace, FreesInReverse, every).run()
            if at is None:
                assert not found.wrong
                continue
            met += 1
            assert found.wrong
            assert (found.agreed, found.operation) == (at, trace.operations[at])
    assert met > 10


@pytest.mark.parametrize("number", range(6))
def test_what_an_engine_returned_otherwise_is_found(tmp_path: Path, number: int) -> None:
    pairs = answered(drawn(number))
    at = next(i for i, (one, _) in enumerate(pairs) if isinstance(one, Lookup))
    operation, seen = pairs[at]
    pairs[at] = operation, msgspec.structs.replace(seen, tokens=(seen.tokens or 0) + 16)
    configuration = drawn(number).configuration
    write(tmp_path / "a.kvr", configuration, entries_of(pairs))
    recording = Recording(tmp_path / "a.kvr")
    replay = Replay(
        configuration, recording.told, ReferenceSession, lambda: AsRecorded(configuration, blocks=True)
    )
    found = replay.run()
    assert (found.agreed, found.operation) == (at, operation)
    assert [one.what for one in found.wrong] == ["tokens"]


def test_states_that_differ_in_the_names_of_keys_alone_are_one_state() -> None:
    trace = drawn(3)
    session = ReferenceSession(trace.configuration)
    for operation in trace.operations:
        session.apply(operation)
    view = session.view()
    assert len(view.prefix_map) > 1

    def name(key: bytes) -> bytes:
        return b"x" + key[::-1]

    other = replace(
        view,
        keys=[None if key is None else name(key) for key in view.keys],
        prefix_map=[(name(key), held) for key, held in reversed(view.prefix_map)],
        step_keys=[name(key) for key in view.step_keys],
    )
    assert view_differences(view, other) == []
    forgotten = replace(other, keys=[None] * len(view.keys))
    assert view_differences(view, forgotten) != []


@pytest.fixture
def path(tmp_path: Path) -> str:
    trace = drawn(2)
    write(tmp_path / "a.kvr", trace.configuration, entries_of(answered(trace)))
    return str(tmp_path / "a.kvr")


@pytest.mark.parametrize("target", ["recorded", "reference", "optimized"])
def test_the_command_replays_a_recording(kvref: Kvref, path: str, target: str) -> None:
    ended = kvref("replay", path, "--target", target)
    assert ended.code == 0
    assert f"{len(answered(drawn(2)))} operations agree" in ended.out


def test_the_command_says_where_a_recording_that_was_cut_ends(kvref: Kvref, path: str) -> None:
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:-20])
    ended = kvref("replay", path, "--target", "optimized")
    assert ended.code == 0
    assert "entries: it is cut short" in ended.out.replace("\n", " ")
    Path(path).write_bytes(data[:20])
    assert kvref("replay", path, "--target", "optimized").code == 2


@pytest.mark.parametrize("command", ["explain", "shrink"])
def test_other_commands_read_a_recording(kvref: Kvref, path: str, command: str) -> None:
    assert kvref(command, path, "--target", "optimized").code == 0
