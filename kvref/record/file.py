"""The files that frames are written to: the parts of one recording, each about so large.

The newest part is where the recording is, the one before it has `.1` behind its name, as rotated logs have.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from kvref.errors import UserError
from kvref.record.entries import Header
from kvref.record.frames import MAGIC, frame_of
from kvref.record.reader import part_path


class File:
    """A recording on a disk. Raises OSError.

    It ends before it is larger than `most` bytes; or, with several `parts`, the oldest is deleted for a new one.
    As a part is read without those before, `resume` is called when it is full, and it ends where all is told anew.
    Behind a frame that could not be written as a whole, the next one is written in its place.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        most: int | None = None,
        parts: int = 1,
        resume: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._header = header
        self._most = most
        self._parts = parts
        self._resume = resume
        self._part = 0
        self.is_full = False
        older = part_path(path, 1)
        if parts > 1 and older.exists():
            raise UserError(f"{older} is there already: move it away, it would be written over")
        self._file = self._open()

    def write(self, body: bytes) -> str | None:
        """Write one frame."""
        frame = frame_of(body)
        if self._most is not None and self._written + len(frame) > self._most:
            if self._parts == 1:
                return f"{self._path} is as large as it may get ({self._most / 1e6:g} MB)"
            if not self.is_full:
                self.is_full = True
                self._resume()
        self._put(self._file, frame)
        return None

    def begin_part(self) -> None:
        """What comes next can be read without what is there."""
        os.close(self._file)
        for part in reversed(range(min(self._part + 1, self._parts - 1))):
            part_path(self._path, part).replace(part_path(self._path, part + 1))
        self._part += 1
        self.is_full = False
        self._file = self._open()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        # Unbuffered: what was written is the system's, and a process that is killed does not take it along.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._written = 0
        header = msgspec.structs.replace(self._header, part=self._part)
        self._put(file, MAGIC + frame_of(msgspec.msgpack.encode(header)))
        return file

    def _put(self, file: int, data: bytes) -> None:
        rest = memoryview(data)
        at = self._written
        os.ftruncate(file, at)
        while rest:
            put = os.pwrite(file, rest, at)
            rest, at = rest[put:], at + put
        self._written = at
