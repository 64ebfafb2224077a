"""The files that frames are written to: the parts of one recording, each at most so large."""

import os
from pathlib import Path

import msgspec

from kvref.record.entries import Header
from kvref.record.frames import MAGIC, frame_of
from kvref.record.reader import part_path


class File:
    """A recording on a disk: `parts` files of `most` bytes at the most, None for no limit. Raises OSError.

    Behind a frame that could not be written as a whole, the next one is written in its place.
    """

    def __init__(self, path: Path, header: Header, most: int | None = None, parts: int = 1) -> None:
        self._path = path
        self._header = header
        self._most = most
        self._parts = parts
        self._part = 0
        self._file = self._open()

    def write(self, body: bytes) -> str | None:
        """Write one frame, to the next part if this one would be too large."""
        frame = frame_of(body)
        if self._most is not None and self._written + len(frame) > self._most:
            if self._part + 1 == self._parts:
                size = f"{self._parts} files of {self._most / 1e6:g} MB"
                return f"{self._path} is as large as it may get ({size})"
            os.close(self._file)
            self._part += 1
            self._file = self._open()
        self._put(self._file, frame)
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _open(self) -> int:
        # Unbuffered: what was written is the system's, and a process that is killed does not take it along.
        path = part_path(self._path, self._part)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
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
