"""Reads a recording, part after part, one frame at a time: it may be larger than the memory.

What can be read is used. Where the whole frames end, and why, is told in one line.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count as count_from
from pathlib import Path
from typing import Final

import msgspec

from kvref.errors import UserError
from kvref.operations import Operation, Trace
from kvref.record.entries import FORMAT, Entry, Header, Raised
from kvref.record.frames import End, bodies
from kvref.record.told import ALLOCATE, RECORDER, Names, Resumed, Told, told, told_anew

MOST_OPERATIONS: Final = 200_000
"""No longer recording becomes a trace without being asked for so many."""

_frame: Final = msgspec.msgpack.Decoder(list[Entry])
_raw_frame: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_entry: Final = msgspec.msgpack.Decoder(Entry)
_header: Final = msgspec.msgpack.Decoder(Header)


def part_path(path: Path, part: int) -> Path:
    """Where a part of the recording at `path` is: one is there, others have a number behind."""
    return path.with_name(f"{path.name}.{part}") if part else path


class Recording:
    """A recording in files. Raises UserError if not even its header can be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ends_early: str | None = None
        """Where reading has ended before the recording does, and why, in one line."""
        with ExitStack() as opened:
            header, _, end = _open(path, opened)
        if header is None:
            raise UserError(f"{path} is no recording that can be read: {end.reason or 'it has no header'}")
        self.header = header

    def told(self, names: Names | None = None) -> Iterator[Told]:
        """Every operation, in order."""
        return told(self.entries(), names)

    def beginning(self) -> Resumed | None:
        """The state that it begins in, None if it begins with an empty manager."""
        first = next(told_anew(self.entries()), None)
        return first if isinstance(first, Resumed) else None

    def entries(self) -> Iterator[Entry]:
        """Every entry, in order."""
        self.ends_early = None
        count = 0
        parts, strange = self._parts()
        for path in parts:
            with ExitStack() as opened:
                _, frames, end = _open(path, opened)
                for body in frames:
                    for entry in self._entries(body, end):
                        count += 1
                        if isinstance(entry, Raised) and entry.method != ALLOCATE:
                            # Whoever reads on for operations stops here, and asks why.
                            self.ends_early = f"{path} ends after {count} entries: {_reason(entry)}"
                            yield entry
                            return
                        yield entry
                    if end.reason is not None:
                        break
            if end.reason is not None:
                self.ends_early = f"{path} ends at byte {end.at}, after {count} entries: {end.reason}"
                return
        if strange is not None:
            self.ends_early = f"{strange} is another recording's, or damaged: after {count} entries"

    def _parts(self) -> tuple[list[Path], Path | None]:
        """The files that belong to it, in the order of writing, and one that should and does not."""
        found = [(self.header.part, self.path)]
        for number in count_from(1):
            path = part_path(self.path, number)
            if not path.exists():
                break
            with ExitStack() as opened:
                header, _, _ = _open(path, opened)
            if header is None or header.id != self.header.id:
                return [one for _, one in sorted(found)], path
            found.append((header.part, path))
        return [one for _, one in sorted(found)], None

    def _entries(self, body: bytes, end: End) -> Iterator[Entry]:
        try:
            yield from _frame.decode(body)
        except msgspec.MsgspecError:
            yield from self._known(body, end)

    def _known(self, body: bytes, end: End) -> Iterator[Entry]:
        """The entries of a frame up to the first that is not known."""
        try:
            for raw in _raw_frame.decode(body):
                yield _entry.decode(raw)
        except msgspec.MsgspecError as strange:
            version = self.header.format
            why = f"it is of format {version}, and {FORMAT} is read here: " if version != FORMAT else ""
            end.reason = f"{why}an entry is not known ({strange})"


def _reason(raised: Raised) -> str:
    """Why nothing that can be used comes behind."""
    return raised.error if raised.method == RECORDER else f"{raised.method} raised {raised.error}"


def _open(path: Path, opened: ExitStack) -> tuple[Header | None, Iterator[bytes], End]:
    """A part's header, None if it cannot be read, and the frames behind it."""
    try:
        file = opened.enter_context(path.open("rb"))
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name a recording") from failure
    end = End()
    frames = bodies(file, end)
    try:
        first = next(frames, None)
        return None if first is None else _header.decode(first), frames, end
    except msgspec.MsgspecError as strange:
        end.reason = f"its header is not known ({strange})"
        return None, frames, end


def require_tokens(recording: Recording) -> None:
    """Raises UserError for a recording without tokens: every request would be a hit of every other."""
    if recording.header.tokens == "none":
        raise UserError(
            f"{recording.path} was recorded without tokens, and cannot be replayed: record with --tokens hash"
        )


def trace_of(recording: Recording, last: int | None = None) -> Trace:
    """A recording as a trace, up to operation `last`, which holds all of it in memory.

    Raises UserError for one that is too long for that, or has no tokens.
    """
    require_tokens(recording)
    if recording.beginning() is not None:
        raise UserError(
            f"{recording.path} begins in the middle, with what blocks held already: kvref replay --target recorded "
            "reads it, nothing else can"
        )
    operations: list[Operation] = []
    for one in recording.told(Names(kept=True)):
        operations.append(one.operation)
        if last is not None and len(operations) > last:
            break
        if len(operations) > MOST_OPERATIONS:
            raise UserError(
                f"{recording.path} has more than {MOST_OPERATIONS} operations, too many to be held as one trace: "
                "give the last one that matters, with --to or --until"
            )
    return Trace(recording.header.configuration, tuple(operations), note=recording.header.engine)
