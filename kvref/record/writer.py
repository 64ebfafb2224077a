"""Writes what an engine's recorder notes, in a thread of its own; whatever goes wrong, the engine goes on.

The engine's thread only appends to a queue. A few times a second entries are made of what has come, packed,
compressed and written at once, so that a process that is killed loses no more than that.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from kvref.record.notes import Notes

SECONDS: Final = 0.05
"""How long a note waits to be written, at the most."""

BATCH: Final = 4096
"""The entries of so many notes become one frame, at the most."""

MOST_WAITING: Final = 1_000_000
"""With more notes in the queue, recording ends: they come faster than they can be written."""

LAST_WORDS_SECONDS: Final = 5.0
"""How long the process that ends waits for what is left to be written."""

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where frames go."""

    is_full: bool
    """Whether a new part is to begin where all is told anew."""

    def write(self, body: bytes) -> str | None:
        """Take one frame's body. Why no more is taken, None if more is. Raises OSError."""

    def begin_part(self) -> None:
        """What comes next tells all anew."""

    def close(self) -> None:
        """No more will come."""


RESUMES: Final = (20,)
"""The entry behind which all is told anew."""


class Writer:
    """Takes notes, and writes the entries that they make. `told` gets one line if that ends before the process does."""

    def __init__(self, sink: Sink, told: Callable[[str], None] = logger.warning) -> None:
        self._sink = sink
        self._told = told
        self.notes = Notes()
        self._encoder = msgspec.msgpack.Encoder()
        self._ending = threading.Event()
        self._why: str | None = None
        self.cpu_seconds = 0.0
        """Processor time that writing has taken so far."""
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="kvref-recorder", daemon=True)
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is written: what is noted is thrown away."""
        return self._has_ended

    def end(self, why: str) -> None:
        """Write what is left, and nothing that comes from now on."""
        self._why = why
        self._ending.set()

    def close(self) -> None:
        """Write what is left, and end."""
        self._ending.set()
        self._thread.join(LAST_WORDS_SECONDS)

    def _run(self) -> None:
        try:
            why = self._write_all()
        except OSError as failure:
            why = f"{failure.strerror or failure}"
        except Exception as defect:  # noqa: BLE001 - no defect of ours is the engine's
            why = f"{type(defect).__name__}: {defect}"
        self._has_ended = True
        if why is not None:
            self._told(f"kvref: recording has ended, the engine goes on: {why}")
        while why is not None:  # the process ends this thread
            self.notes.clear()
            time.sleep(SECONDS)

    def _write_all(self) -> str | None:
        """Why writing has ended before it was to end."""
        try:
            while True:
                ending = self._ending.wait(SECONDS)
                while self.notes:
                    if len(self.notes) > MOST_WAITING:
                        return f"{MOST_WAITING} calls are waiting to be written"
                    why = self._sort(self.notes.take(BATCH))
                    self.cpu_seconds = time.thread_time()
                    if why is not None:
                        return why
                if ending:
                    return self._why
        finally:
            self._sink.close()

    def _sort(self, entries: list[Any]) -> str | None:
        """Write entries, in the next part from where all is told anew, if this part is full."""
        if self._sink.is_full and RESUMES in entries:
            at = entries.index(RESUMES)
            why = self._write(entries[:at])
            if why is not None:
                return why
            self._sink.begin_part()
            entries = entries[at:]
        return self._write(entries)

    def _write(self, entries: list[Any]) -> str | None:
        """Write entries as one frame, or, where a disk has no room for it, as many of them as it takes."""
        if not entries:
            return None
        try:
            return self._sink.write(self._encoder.encode(entries))
        except OSError:
            if len(entries) == 1:
                raise
        half = len(entries) // 2
        return self._write(entries[:half]) or self._write(entries[half:])
