"""Whatever goes wrong with writing, the engine's thread goes on, and one line says so."""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvref.record.entries import StepBegins
from kvref.record.file import File
from kvref.record.reader import Recording
from kvref.record.writer import Writer
from tests.record.made import drawn, header_of

CONFIGURATION = drawn(1, 40).configuration


class FullDisk:
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
    writer.note((11,))
    until(lambda: lines)
    for _ in range(1000):
        writer.note((11,))
    until(lambda: not writer._queue)
    assert lines == [f"kvref: recording has ended, the engine goes on: {why}"]
    assert writer.has_ended


def test_a_sink_that_hangs_keeps_nobody_who_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvref.record.writer.LAST_WORDS_SECONDS", 0.1)
    writer = Writer(Hanging())
    for _ in range(1000):
        writer.note((11,))
    writer.close()
    assert not writer.has_ended


def test_more_than_can_be_written_ends_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvref.record.writer.MOST_WAITING", 100)
    lines: list[str] = []
    writer = Writer(Hanging(), lines.append)
    writer._queue.extend([(11,)] * 1000)
    until(lambda: lines)
    assert lines == ["kvref: recording has ended, the engine goes on: 100 calls are waiting to be written"]


def test_closing_writes_what_is_left(tmp_path: Path) -> None:
    writer = Writer(File(tmp_path / "a.kvr", header_of(CONFIGURATION)))
    for _ in range(10_000):
        writer.note((11,))
    writer.close()
    assert list(Recording(tmp_path / "a.kvr").entries()) == [StepBegins()] * 10_000


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.kvr").write_text("precious")
    with pytest.raises(FileExistsError):
        File(tmp_path / "a.kvr", header_of(CONFIGURATION))
    assert (tmp_path / "a.kvr").read_text() == "precious"
