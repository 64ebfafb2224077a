"""The engine's end of the pipe to its shadow: what is written there is given up if nobody reads.

A shadow that dies, hangs or is too slow costs the engine nothing: the writer's thread waits for it, and for no
longer than `PATIENCE`.
"""

import os
import select
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from kvref.record.entries import Header
from kvref.record.frames import MAGIC, frame_of

PATIENCE: Final = 30.0
"""How many seconds the shadow may take to read on."""

SLICE_MS: Final = 50


class Follower:
    """A shadow in a process of its own. `resume` is called when it wants all to be told anew."""

    is_full = False

    def __init__(
        self,
        header: Header,
        command: tuple[str, ...],
        resume: Callable[[], None],
        patience: float = PATIENCE,
    ) -> None:
        self._resume = resume
        self._patience = patience
        self._process = subprocess.Popen(  # noqa: S603 - this module's own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the engine: its shadow ends when the pipe does
        )
        assert self._process.stdin is not None  # noqa: S101 - they were opened as pipes
        assert self._process.stdout is not None  # noqa: S101 - likewise
        self._out, self._in = self._process.stdin, self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        os.set_blocking(self._in.fileno(), False)
        self._first = MAGIC + frame_of(msgspec.msgpack.encode(header))

    def write(self, body: bytes) -> str | None:
        """Send one frame. Why no more is taken, None if more is."""
        first, self._first = self._first, b""
        deadline = time.monotonic() + self._patience
        rest = memoryview(first + frame_of(body))
        while rest:
            try:
                rest = rest[os.write(self._out.fileno(), rest) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return f"the shadow has not read on for {self._patience:g} s"
                select.select((), (self._out,), (), SLICE_MS / 1000)
            except BrokenPipeError:
                return "the shadow has ended"
        with suppress(BlockingIOError):
            if os.read(self._in.fileno(), 64):
                self._resume()
        return None

    def begin_part(self) -> None:
        """A pipe has one part."""

    def close(self) -> None:
        """No more will come. The shadow reads what is left, and ends by itself."""
        for pipe in (self._out, self._in):
            with suppress(OSError):
                pipe.close()
