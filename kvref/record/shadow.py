"""Follows a live engine, in a process of its own: reads its recording from a pipe, and holds a reference to it.

Whatever happens here, the engine has gone on: it only writes to a pipe, and gives that up if nobody reads. On
a difference, what led to it is written to a file. Then the engine is asked to tell all anew, and the reference
goes on from there.
"""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from invariants import Checker
from invariants.view import View
from kvref.compare import Difference
from kvref.operations import Configuration, Observation, Operation
from kvref.record.entries import Entry, Header
from kvref.record.frames import End, bodies
from kvref.record.held import observation_differences, view_differences
from kvref.record.restored import FollowingSession
from kvref.record.told import Resumed, Told, told_anew
from kvref.witness import setting_of

Level = Literal["exact", "hits", "invariants"]

LAST: Final = 200
"""So many operations before a difference are written."""

MOST_REPORTS: Final = 20
"""So many differences are written; others are counted."""

SUMMARY_SECONDS: Final = 2.0
SUMMARY: Final = "summary.json"

RESUME: Final = b"r"
"""Sent to the engine, which is to tell all anew."""

_frame: Final = msgspec.msgpack.Decoder(list[Entry])
_header: Final = msgspec.msgpack.Decoder(Header)


class Summary(msgspec.Struct):
    """How far the shadow is. Behind a difference, operations are unfollowed until all was told anew."""

    operations: int = 0
    states: int = 0
    differences: int = 0
    resumed: int = 0
    unfollowed: int = 0
    cpu_seconds: float = 0.0
    following: bool = True
    ended: str | None = None


class Line(msgspec.Struct, omit_defaults=True):
    """One of the last operations, and what the engine returned."""

    number: int
    operation: Operation
    observation: Observation
    granted: bool | None = None


class Report(msgspec.Struct):
    """A difference: what differs, the operation, those before it, and both states, as far as they are known."""

    number: int
    operation: Operation
    differences: tuple[Difference, ...]
    last: tuple[Line, ...]
    configuration: Configuration
    reference: View | None
    engine: View | None


class Shadow:
    """Follows what is told, at a level, and says what differs."""

    def __init__(self, header: Header, level: Level) -> None:
        self.summary = Summary()
        self._header = header
        self._level = level
        self._reference = FollowingSession(header.configuration) if level != "invariants" else None
        self._checker = Checker(setting_of(header.configuration))
        self._last: deque[Line] = deque(maxlen=LAST)
        self._seen: View | None = None
        self._is_lost = False
        """Whether a difference was found, and all is to be told anew before anything can be compared."""

    def follow(self, one: Told | Resumed) -> Report | None:
        """What differs, if anything does."""
        if isinstance(one, Resumed):
            self._resume(one)
            return None
        self.summary.operations += 1
        self._last.append(Line(self.summary.operations - 1, one.operation, one.observation, one.granted))
        if one.view is not None:
            self._seen = one.view
        if self._is_lost:
            self.summary.unfollowed += 1
            return None
        wrong = self._compared(one)
        if not wrong:
            return None
        self.summary.differences += 1
        self._is_lost = self._reference is not None
        return Report(
            self.summary.operations - 1,
            one.operation,
            tuple(wrong),
            tuple(self._last),
            self._header.configuration,
            self._reference.view() if self._reference is not None else None,
            self._seen,
        )

    def _resume(self, told: Resumed) -> None:
        self.summary.resumed += 1
        self._is_lost = False
        self._seen = told.view
        if self._reference is not None:
            self._reference.resume(told)

    def _compared(self, one: Told) -> list[Difference]:
        wrong: list[Difference] = []
        if self._reference is not None:
            mine = self._reference.apply(one.operation)
            blocks = self._level == "exact" and self._header.blocks
            wrong = observation_differences(mine, one, blocks=blocks)
            if one.gone is not None:
                self._reference.forget(one.gone)
        if one.view is None or wrong:
            return wrong
        self.summary.states += 1
        if self._reference is not None and self._level == "exact":
            wrong = view_differences(self._reference.view(), one.view)
        return wrong + [
            Difference(each.invariant, "holds", each.message) for each in self._checker.state(one.view)
        ]


def follow(stream: IO[bytes], folder: Path, level: Level, *, stops: bool, ask: IO[bytes] | None) -> Summary:
    """Follow an engine to its end, or with `stops` to the first difference; reports go to the folder."""
    end = End()
    frames = bodies(stream, end)
    first = next(frames, None)
    if first is None:
        return Summary(following=False, ended=end.reason or "the engine has told nothing")
    shadow = Shadow(_header.decode(first), level)
    summary = shadow.summary
    told_at = time.monotonic()
    for one in told_anew(_entries(frames)):
        report = shadow.follow(one)
        if report is not None:
            if summary.differences <= MOST_REPORTS:
                _write(folder / f"difference-{summary.differences:02}.json", msgspec.json.encode(report))
            if stops:
                summary.ended = f"it was to stop at a difference: operation {report.number}"
                break
            _ask(ask)
        if time.monotonic() - told_at > SUMMARY_SECONDS:
            told_at = time.monotonic()
            _tell(folder, summary)
    summary.following = False
    summary.ended = summary.ended or end.reason
    _tell(folder, summary)
    return summary


def _ask(engine: IO[bytes] | None) -> None:
    """Ask the engine to tell all anew, if it is still there."""
    if engine is not None:
        with contextlib.suppress(OSError):
            engine.write(RESUME)
            engine.flush()


def _entries(frames: Iterator[bytes]) -> Iterator[Entry]:
    for body in frames:
        yield from _frame.decode(body)


def _tell(folder: Path, summary: Summary) -> None:
    summary.cpu_seconds = time.process_time()
    _write(folder / SUMMARY, msgspec.json.encode(summary))


def _write(path: Path, text: bytes) -> None:
    """Write a file as a whole; where that cannot be done, nobody is there to be told."""
    with contextlib.suppress(OSError):
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_bytes(text)
        scratch.replace(path)


def main() -> None:
    """The process: `shadow.py FOLDER LEVEL continue|stop`, the recording on standard input."""
    folder, level, on_difference = sys.argv[1:]
    try:
        follow(
            sys.stdin.buffer,
            Path(folder),
            msgspec.convert(level, Level),
            stops=on_difference == "stop",
            ask=sys.stdout.buffer,
        )
    except Exception as defect:  # noqa: BLE001 - told where the summary is looked for
        why = f"a defect of the shadow: {type(defect).__name__}: {defect}"
        _write(Path(folder) / SUMMARY, msgspec.json.encode(Summary(following=False, ended=why)))


if __name__ == "__main__":
    main()
