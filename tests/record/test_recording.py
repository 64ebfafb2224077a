"""What was written of a recording is read, wherever its file ends and whatever is broken behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.operations import Allocate, NewRequest, Observation
from kvref.record.entries import FORMAT, Arrive, Entry, Grow, Raised, Release
from kvref.record.file import File
from kvref.record.frames import MAGIC, frame_of
from kvref.record.reader import Recording, trace_of
from kvref.record.told import Names, told
from tests.record.made import answered, drawn, entries_of, header_of, write

TRACE = drawn(1, 40)
NOTED = list(entries_of(answered(TRACE)))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.kvr"
    write(path, TRACE.configuration, NOTED[:30], frame=5)
    return path


def read(path: Path) -> tuple[list[Entry], str | None]:
    recording = Recording(path)
    return list(recording.entries()), recording.ends_early


@pytest.mark.parametrize("number", range(12))
def test_a_recording_tells_the_operations_and_what_they_returned(tmp_path: Path, number: int) -> None:
    trace = drawn(number)
    pairs = answered(trace)
    write(tmp_path / "whole.kvr", trace.configuration, entries_of(pairs))
    recording = Recording(tmp_path / "whole.kvr")
    whole = list(recording.told(Names(kept=True)))
    assert [one.operation for one in whole] == [operation for operation, _ in pairs]
    without_events = [msgspec.structs.replace(seen, events=()) for _, seen in pairs]
    assert [one.observation for one in whole] == without_events
    assert recording.ends_early is None
    assert trace_of(recording).operations == tuple(operation for operation, _ in pairs)


def test_a_file_that_ends_at_any_byte_gives_its_whole_frames(small: Path) -> None:
    data = small.read_bytes()
    assert read(small) == (NOTED[:30], None)
    header = len(MAGIC) + len(frame_of(msgspec.msgpack.encode(header_of(TRACE.configuration))))
    whole = set()
    for end in range(len(data)):
        small.write_bytes(data[:end])
        if end < header:
            with pytest.raises(UserError, match="no recording that can be read"):
                read(small)
            continue
        entries, why = read(small)
        assert entries == NOTED[: len(entries)]
        assert len(entries) % 5 == 0
        whole.add(len(entries))
        assert why is None or f"after {len(entries)} entries: it is cut short" in why
    assert whole == {0, 5, 10, 15, 20, 25}


def test_a_flipped_byte_ends_the_recording_there_and_nothing_wrong_is_read(small: Path) -> None:
    data = bytearray(small.read_bytes())
    for at in range(len(data)):
        data[at] ^= 0x41
        small.write_bytes(data)
        data[at] ^= 0x41
        try:
            entries, why = read(small)
        except UserError:
            continue
        assert entries == NOTED[: len(entries)]
        assert len(entries) < 30
        assert why is not None


def test_of_another_version_what_is_known_is_read(tmp_path: Path) -> None:
    path = tmp_path / "newer.kvr"
    header = msgspec.structs.replace(header_of(TRACE.configuration), format=FORMAT + 1)
    file = File(path, header)
    tagged = [msgspec.to_builtins(one) for one in NOTED[:7]]
    file.write(msgspec.msgpack.encode([*tagged, (99, "what is this"), *tagged]))
    file.close()
    entries, why = read(path)
    assert entries == NOTED[:7]
    assert why is not None
    assert f"it is of format {FORMAT + 1}, and {FORMAT} is read here" in why


def test_further_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    file = File(tmp_path / "newer.kvr", header_of(TRACE.configuration))
    file.write(msgspec.msgpack.encode([(6, 0, True, "why")]))
    file.close()
    entries, why = read(tmp_path / "newer.kvr")
    assert why is None
    assert len(entries) == 1


def test_a_recording_ends_at_its_limit(tmp_path: Path) -> None:
    most = len(MAGIC) + len(frame_of(msgspec.msgpack.encode(header_of(TRACE.configuration)))) + 150
    file = File(tmp_path / "a.kvr", header_of(TRACE.configuration), most)
    why, taken = None, 0
    while why is None:
        why = file.write(msgspec.msgpack.encode(NOTED[taken : taken + 1]))
        taken += why is None
        assert taken < len(NOTED)
    file.close()
    assert "as large as it may get" in why
    assert (tmp_path / "a.kvr").stat().st_size <= most
    assert read(tmp_path / "a.kvr") == (NOTED[:taken], None)


def test_another_recordings_part_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "a.kvr", TRACE.configuration, NOTED[:5])
    file = File(tmp_path / "a.kvr.1", msgspec.structs.replace(header_of(TRACE.configuration), id="other"))
    file.close()
    entries, why = read(tmp_path / "a.kvr")
    assert entries == NOTED[:5]
    assert why is not None
    assert "another recording's" in why


def test_a_recording_without_tokens_is_no_trace(tmp_path: Path) -> None:
    file = File(tmp_path / "a.kvr", msgspec.structs.replace(header_of(TRACE.configuration), tokens="none"))
    file.close()
    with pytest.raises(UserError, match="was recorded without tokens"):
        trace_of(Recording(tmp_path / "a.kvr"))


def test_a_name_that_comes_again_is_told_apart_where_all_are_kept() -> None:
    entries: list[Entry] = [Arrive(0, "a", (1,)), Release(0, gone=True), Arrive(7, "a", (1,))]
    for kept, name in ((True, "a#7"), (False, "a")):
        *_, last = told(entries, Names(kept=kept))
        assert last.operation == NewRequest(name, (1,))


def test_behind_a_call_that_raised_nothing_is_known_but_of_an_allocation_it_is_told(tmp_path: Path) -> None:
    noted: list[Entry] = [
        Arrive(0, "a", (1,)),
        Grow(0, 0, 1, 0, granted=False),
        Raised("E: x", "allocate_slots"),
    ]
    write(tmp_path / "a.kvr", TRACE.configuration, [*noted, Raised("E: y", "free"), Release(0, gone=True)])
    recording = Recording(tmp_path / "a.kvr")
    last = [*recording.told()][-1]
    assert (last.operation, last.observation) == (Allocate("a", 0, 1), Observation(error="E: x"))
    assert recording.ends_early is not None
    assert recording.ends_early.endswith("free raised E: y")


KILLED = """
import sys
from pathlib import Path
from kvref.record.file import File
from kvref.record.writer import Writer
from tests.record.test_recording import NOTED, TRACE
from tests.record.made import header_of
import msgspec
writer = Writer(File(Path(sys.argv[1]), header_of(TRACE.configuration)))
tuples = [msgspec.to_builtins(one) for one in NOTED]
print("begun", flush=True)
while True:
    for one in tuples:
        writer.notes.note(one)
    import time; time.sleep(0.002)
"""


@pytest.mark.parametrize("seconds", [0.06, 0.11, 0.17, 0.23, 0.31])
def test_what_was_written_is_read_after_a_kill(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "killed.kvr"
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        deadline = time.monotonic() + 30
        while path.stat().st_size < 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    entries, why = read(path)
    assert len(entries) >= len(NOTED)
    assert all(entry == NOTED[at % len(NOTED)] for at, entry in enumerate(entries))
    assert why is None or "cut short" in why
