"""Whatever goes wrong with writing, the engine's thread goes on, and one line says so."""

import errno
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvref.record.entries import Entry, Raised, Release, StepBegins
from kvref.record.file import File
from kvref.record.notes import TAPS
from kvref.record.reader import Recording
from kvref.record.writer import Writer
from tests.record.made import drawn, header_of

CONFIGURATION = drawn(1, 40).configuration


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that takes many notes at once."""
    monkeypatch.setenv(TAPS, "plain")


class FullDisk:
    is_full = False

    def begin_part(self) -> None: ...

    def write(self, _body: bytes) -> str | None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None: ...


class Defective(FullDisk):
    def write(self, _body: bytes) -> str | None:
        raise ValueError("a defect of ours")


class Hanging(FullDisk):
    def write(self, _body: bytes) -> str | None:
        threading.Event().wait()
        return None


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("sink", "why"), [(FullDisk(), "No space left on device"), (Defective(), "ValueError: a defect of ours")]
)
def test_a_sink_that_fails_ends_the_recording_in_one_line(sink: FullDisk, why: str) -> None:
    lines: list[str] = []
    writer = Writer(sink, lines.append)
    writer.notes.note((11,))
    until(lambda: lines)
    for _ in range(1000):
        writer.notes.note((11,))
    until(lambda: not writer.notes)
    assert lines == [f"kvref: recording has ended, the engine goes on: {why}"]
    assert writer.has_ended


class Room(FullDisk):
    """A disk with room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[Entry] = []

    def write(self, body: bytes) -> str | None:
        if len(body) > self.room:
            super().write(body)
        self.room -= len(body)
        self.taken += msgspec.msgpack.decode(body, type=list[Entry])
        return None


@pytest.mark.parametrize("room", range(0, 200, 7))
def test_a_disk_takes_as_many_entries_as_it_has_room_for(room: int) -> None:
    lines: list[str] = []
    sink = Room(room)
    writer = Writer(sink, lines.append)
    writer.notes.queue.extend([(6, number, True) for number in range(100)])
    until(lambda: lines)
    assert sink.taken == [Release(number, gone=True) for number in range(len(sink.taken))]
    assert sink.room < 1 + len(msgspec.msgpack.encode((6, 0, True)))
    assert bool(sink.taken) == (room > 4)


@pytest.mark.parametrize("room", range(400, 4000, 300))
def test_a_full_disk_leaves_whole_frames_and_perhaps_a_torn_one(tmp_path: Path, room: int) -> None:
    file = File(tmp_path / "a.kvr", header_of(CONFIGURATION))
    path, lines = tmp_path / "a.kvr", list[str]()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
        writer = Writer(file, lines.append)
        names = [f"{number:x}" * 40 for number in range(1000)]
        writer.notes.queue.extend([(18, name, "allocate_slots") for name in names])
        until(lambda: lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    recording = Recording(path)
    entries = list(recording.entries())
    assert entries == [Raised(name, "allocate_slots") for name in names[: len(entries)]]
    assert 0 < len(entries) < len(names)
    assert "File too large" in lines[0]
    assert recording.ends_early is None or "cut short" in recording.ends_early


def test_a_sink_that_hangs_keeps_nobody_who_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvref.record.writer.LAST_WORDS_SECONDS", 0.1)
    writer = Writer(Hanging())
    for _ in range(1000):
        writer.notes.note((11,))
    writer.close()
    assert not writer.has_ended


def test_more_than_can_be_written_ends_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvref.record.writer.MOST_WAITING", 100)
    lines: list[str] = []
    writer = Writer(Hanging(), lines.append)
    writer.notes.queue.extend([(11,)] * 1000)
    until(lambda: lines)
    assert lines == ["kvref: recording has ended, the engine goes on: 100 calls are waiting to be written"]


def test_closing_writes_what_is_left(tmp_path: Path) -> None:
    writer = Writer(File(tmp_path / "a.kvr", header_of(CONFIGURATION)))
    for _ in range(10_000):
        writer.notes.note((11,))
    writer.close()
    assert list(Recording(tmp_path / "a.kvr").entries()) == [StepBegins()] * 10_000


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.kvr").write_text("precious")
    with pytest.raises(FileExistsError):
        File(tmp_path / "a.kvr", header_of(CONFIGURATION))
    assert (tmp_path / "a.kvr").read_text() == "precious"
