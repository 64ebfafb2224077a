"""Messages to and from a child process, over its standard input and output.

A message is its length in 4 bytes, big-endian, and a body. Nothing waits past its deadline: a child that
reads no more, hangs, dies or sends something else is told as such. No thread is needed, and a round trip
costs little more than the two context switches.
"""

import os
import select
import subprocess
import time
from contextlib import suppress

from kvref.targets.vllm.worker import LENGTH_BYTES, MOST_BYTES

MOST_AT_ONCE = 1 << 20


class BrokenChannelError(Exception):
    """What the child did, as the end of a sentence about it."""


class Channel:
    """The parent's ends of a child's pipes. Both belong to the child's `Popen`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None  # noqa: S101 - they were opened as pipes
        assert process.stdout is not None  # noqa: S101
        self._out, self._in = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self._out, select.POLLOUT)
        self._readable.register(self._in, select.POLLIN)
        self._received = bytearray()

    def ask(self, body: bytes, seconds: float) -> bytes:
        """Send a body, and give that of the answer. Raises BrokenChannelError."""
        deadline = time.monotonic() + seconds
        rest = memoryview(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        # A child that has died reads nothing; that it answers nothing tells why.
        with suppress(BrokenPipeError):
            while rest:
                try:
                    rest = rest[os.write(self._out, rest) :]
                except BlockingIOError:
                    _wait(self._writable, deadline, seconds)
        return self._receive(deadline, seconds)

    def listen(self, seconds: float) -> bytes:
        """The body of a message that was not asked for. Raises BrokenChannelError."""
        return self._receive(time.monotonic() + seconds, seconds)

    def _receive(self, deadline: float, seconds: float) -> bytes:
        received = self._received
        while len(received) < LENGTH_BYTES:
            self._read(deadline, seconds)
        end = LENGTH_BYTES + int.from_bytes(received[:LENGTH_BYTES], "big")
        if end > LENGTH_BYTES + MOST_BYTES:
            text = f"sent what is not a message (a message of {end - LENGTH_BYTES} bytes is announced)"
            raise BrokenChannelError(text)
        if end == LENGTH_BYTES:
            raise BrokenChannelError("sent what is not a message (an empty one)")
        while len(received) < end:
            self._read(deadline, seconds)
        body = bytes(received[LENGTH_BYTES:end])
        del received[:end]
        return body

    def _read(self, deadline: float, seconds: float) -> None:
        _wait(self._readable, deadline, seconds)
        chunk = os.read(self._in, MOST_AT_ONCE)
        if not chunk:
            raise BrokenChannelError("has died")
        self._received += chunk


def _wait(poll: "select.poll", deadline: float, seconds: float) -> None:
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise BrokenChannelError(f"did not answer within {seconds:g} s")
