"""A child process that is asked in lines, and answers in lines; whatever it does instead is told.

Nothing waits past its deadline, and nothing that the child writes is kept without bound. It leads a
process group of its own: Ctrl-C is for kvref alone, and when the child ends, its own children end with it.
"""

import os
import select
import shlex
import signal
import subprocess
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from kvref.errors import UserError

MOST_BYTES = 1 << 25
"""The longest line that is read: a driver that shows a large pool is asked for fewer operations at once."""

AT_ONCE = 1 << 18
KEPT_ERRORS = 1 << 12
MOST_READS = 64
LONGEST_WORDS = 300
GRACE_SECONDS = 1.0
"""How long an end that was announced, or seen from one side, may take."""


class BrokenChildError(Exception):
    """What the child did instead of answering, as the end of a sentence about it."""


@final
class Child:
    """A running command. Raises UserError if it cannot be run."""

    def __init__(self, command: str) -> None:
        words = _words(command)
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as unable:
            why = getattr(unable, "strerror", None) or unable
            raise UserError(
                f"{words[0]!r} cannot be run ({why}): give --target-cmd a command as for a shell"
            ) from unable
        self._process: Final = process
        self.end: Final = weakref.finalize(self, _end, process)
        """Kill what still runs, and wait for it. Also done when nobody refers to the child any more."""
        self._in, self._out, self._err = _numbers(process)
        self._poll: Final = select.poll()
        for number in (self._out, self._err):
            self._poll.register(number, select.POLLIN)
        self._received = bytearray()
        self._errors = b""
        self._unsent = memoryview(b"")
        self._is_deaf = False
        """Whether it has closed its input."""

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the process has used, where the system tells it."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def last_words(self) -> str:
        """The last line on standard error, behind a colon; nothing if there is none.

        A panic in Rust ends with a note on backtraces, which says nothing of what happened.
        """
        lines = self._errors.decode(errors="replace").strip().splitlines()
        while lines and lines[-1].startswith("note: "):
            lines.pop()
        return f": {lines[-1][:LONGEST_WORDS]}" if lines else ""

    def ask(self, line: bytes, seconds: float) -> bytes:
        """Send a line, and give the next one that comes back. Raises BrokenChildError."""
        deadline = time.monotonic() + seconds
        self._unsent = memoryview(line + b"\n")
        self._is_deaf = False
        self._poll.register(self._in, select.POLLOUT)
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > MOST_BYTES:
                raise BrokenChildError(f"sent a line of more than {MOST_BYTES >> 20} MiB")
            left = deadline - time.monotonic()
            ready = self._poll.poll(left * 1000) if left > 0 else []
            if not ready:
                raise BrokenChildError(self._silence(seconds))
            for number, event in ready:
                if number == self._in:
                    self._write(is_read=not event & select.POLLERR)
                    if self._is_deaf:
                        deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                elif number == self._err:
                    self._read_errors()
                elif number == self._out:
                    self._read()
        self._say_no_more()
        answer = bytes(self._received[:end])
        del self._received[: end + 1]
        return answer

    def close(self, farewell: bytes) -> None:
        """Say that nothing more is asked, give it a moment to end by itself, and then end it."""
        if not self.end.alive:
            return
        with suppress(OSError):
            os.write(self._in, farewell + b"\n")
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr] # opened as a pipe
        self._status()
        self.end()

    def _write(self, *, is_read: bool) -> None:
        """Send some more, if somebody reads it; behind the last of it only an error is waited for."""
        try:
            self._is_deaf = not is_read
            if is_read:
                self._unsent = self._unsent[os.write(self._in, self._unsent[:AT_ONCE]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._is_deaf = True
        if self._is_deaf:
            self._say_no_more()
        elif not self._unsent:
            self._poll.modify(self._in, 0)

    def _say_no_more(self) -> None:
        with suppress(KeyError):
            self._poll.unregister(self._in)

    def _read(self) -> None:
        chunk = os.read(self._out, AT_ONCE)
        if not chunk:
            half = " in the middle of a line" if self._received else ""
            raise BrokenChildError(self._ending() + half + self._drained())
        self._received += chunk

    def _read_errors(self) -> None:
        chunk = os.read(self._err, AT_ONCE)
        if not chunk:
            self._poll.unregister(self._err)
        self._errors = (self._errors + chunk)[-KEPT_ERRORS:]

    def _silence(self, seconds: float) -> str:
        if self._is_deaf:
            return "closed its input" + self._drained()
        half = ", but half a line" if self._received else ""
        return f"did not answer within {seconds:g} s{half}{self._drained()}"

    def _ending(self) -> str:
        status = self._status()
        if status is None:
            return "closed its output"
        if status.si_code == os.CLD_EXITED:
            return f"ended by itself (exit status {status.si_status})"
        return f"died ({signal.Signals(status.si_status).name})"

    def _status(self) -> os.waitid_result | None:
        """How the process ended, None if it has not within the grace. It is not waited for: its group stays."""
        until = time.monotonic() + GRACE_SECONDS
        while True:
            status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if status is not None or time.monotonic() >= until:
                return status
            time.sleep(0.002)

    def _drained(self) -> str:
        """Its last words, with what is still on the way."""
        with suppress(BlockingIOError):
            for _ in range(MOST_READS):
                self._errors = (self._errors + os.read(self._err, AT_ONCE))[-KEPT_ERRORS:]
        return self.last_words


def _words(command: str) -> Sequence[str]:
    try:
        words = shlex.split(command)
    except ValueError as broken:
        raise UserError(f"{command!r} is not a command ({broken}): quote it as for a shell") from broken
    if not words:
        raise UserError("--target-cmd is empty: give the command that runs the driver")
    return words


def _numbers(process: "subprocess.Popen[bytes]") -> tuple[int, int, int]:
    """The pipes' file descriptors: its input, its output, its errors. None of them blocks."""
    pipes = (process.stdin, process.stdout, process.stderr)
    numbers = [pipe.fileno() for pipe in pipes if pipe is not None]
    for number in numbers:
        os.set_blocking(number, False)
    return numbers[0], numbers[1], numbers[2]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process and its group; it is waited for behind that, so that the group is still its own."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
