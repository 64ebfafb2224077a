"""The file of a recording: a first line, then frames, each compressed and summed up by itself.

A frame is the length of its body and the body's CRC-32, 4 bytes each, big-endian, and the body: MessagePack in
zlib. Nothing behind a frame is needed to read it, so all whole frames of a file that ends anywhere are good.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from kvref.errors import UserError

MAGIC: Final = b"kvref recording\n"
PREFIX: Final = 8
MOST_BYTES: Final = 1 << 28
"""No frame is larger: a length beyond is no length."""

COMPRESSION: Final = 1
"""The quickest: it makes a fifth of what it is given, and the engine waits for none of it."""


def frame_of(body: bytes) -> bytes:
    """The body as a frame."""
    packed = zlib.compress(body, COMPRESSION)
    return len(packed).to_bytes(4, "big") + zlib.crc32(packed).to_bytes(4, "big") + packed


class End:
    """Where the whole frames of a file end, and why there: `reason` is None at the end of a whole file."""

    def __init__(self) -> None:
        self.at = 0
        self.reason: str | None = None


def is_recording(path: Path) -> bool:
    """Whether a file begins as recordings do. Raises UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name a trace or recording") from failure


def bodies(file: IO[bytes], end: End) -> Iterator[bytes]:
    """The bodies of a file's frames, in order, as far as they are whole."""
    if file.read(len(MAGIC)) != MAGIC:
        end.reason = "it does not begin as a recording does"
        return
    end.at = len(MAGIC)
    while prefix := file.read(PREFIX):
        length = int.from_bytes(prefix[:4], "big")
        if len(prefix) < PREFIX:
            end.reason = "it is cut short"
            return
        if length > MOST_BYTES:
            end.reason = "it is damaged: a frame too long to be one"
            return
        packed = file.read(length)
        if len(packed) < length:
            end.reason = "it is cut short"
            return
        if zlib.crc32(packed).to_bytes(4, "big") != prefix[4:]:
            end.reason = "it is damaged: a frame is not what its sum says"
            return
        try:
            body = zlib.decompress(packed)
        except zlib.error:
            end.reason = "it is damaged: a frame cannot be unpacked"
            return
        yield body
        end.at += PREFIX + length
