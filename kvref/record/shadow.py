"""Follows a live engine, in a process of its own: reads its recording from a pipe, and holds a reference to it.

Whatever happens here, the engine has gone on: it only writes to a pipe, and gives that up if nobody reads. On
a difference, what led to it is written to a file. Then the engine is asked to tell all anew, and the reference
goes on from there.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final, Literal, Protocol

import msgspec

from invariants import Checker
from invariants.view import View
from kvref.compare import Difference
from kvref.errors import UserError
from kvref.operations import Configuration, Observation, Operation
from kvref.record.entries import Cost, Entry, Header, Spent
from kvref.record.frames import End, bodies
from kvref.record.held import observation_differences, view_differences
from kvref.record.restored import FollowingSession
from kvref.record.since import Since
from kvref.record.told import Resumed, Told, told_anew
from kvref.targets.deviations import Catalogue
from kvref.witness import setting_of

Level = Literal["exact", "hits", "safe", "invariants"]


class Safe(Protocol):
    """Keeps data behind an engine's block ids."""

    @property
    def checked(self) -> int:
        """Slots of tokens and states whose content was checked so far."""

    def sees(self, one: Told, /) -> list[Difference]:
        """What is wrong with what the engine returned. Raises UserError for what cannot be followed."""


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
    known: dict[str, int] = {}
    """How often which known deviation was met."""
    checked: int = 0
    """Slots whose content was checked, at level safe."""
    cpu_seconds: float = 0.0
    cost: Spent | None = None
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
    """Follows what is told, at a level, and says what differs. At level `safe`, that is what `safe` says."""

    def __init__(
        self, header: Header, level: Level, catalogue: Catalogue = (), safe: Safe | None = None
    ) -> None:
        self.summary = Summary()
        self._header = header
        self._level = level
        self._safe = safe
        is_compared = level in ("exact", "hits")
        self._reference = FollowingSession(header.configuration) if is_compared else None
        self._since = Since(header.configuration, catalogue if is_compared else ())
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
        states = self.summary.states
        self._since.follow(one)
        wrong = self._compared(one)
        is_state = self.summary.states > states
        if not wrong:
            if is_state and self._reference is not None and self._since.is_needed:
                self._since.begins(self._reference.resumable())
            return None
        self._is_lost = self._reference is not None
        known = self._since.known(returned=not is_state)
        if known is not None:
            self.summary.known[known.id] = self.summary.known.get(known.id, 0) + 1
            return None
        self.summary.differences += 1
        return Report(
            self.summary.operations - 1,
            one.operation,
            tuple(wrong),
            tuple(self._last),
            self._header.configuration,
            self._reference.view() if self._reference is not None else None,
            self._seen,
        )

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be compared before all is told anew."""
        return self._is_lost

    def _resume(self, told: Resumed) -> None:
        self.summary.resumed += 1
        self._is_lost = False
        self._seen = told.view
        if self._reference is not None:
            self._reference.resume(told)
            self._since.begins(told)

    def _compared(self, one: Told) -> list[Difference]:
        wrong: list[Difference] = []
        if self._safe is not None:
            wrong = self._safe.sees(one)
            self.summary.checked = self._safe.checked
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


def follow(
    stream: IO[bytes],
    folder: Path,
    shadow_of: Callable[[Header], Shadow],
    *,
    stops: bool,
    ask: IO[bytes] | None,
) -> Summary:
    """Follow an engine to its end, or with `stops` to the first difference; reports go to the folder."""
    end = End()
    frames = bodies(stream, end)
    first = next(frames, None)
    if first is None:
        return Summary(following=False, ended=end.reason or "the engine has told nothing")
    shadow = shadow_of(_header.decode(first))
    summary = shadow.summary
    try:
        _follow(told_anew(_entries(frames, summary)), folder, shadow, stops=stops, ask=ask)
    except UserError as cannot:
        summary.ended = str(cannot)
    summary.following = False
    summary.ended = summary.ended or end.reason
    _tell(folder, summary)
    return summary


def _follow(
    told: Iterable[Told | Resumed], folder: Path, shadow: Shadow, *, stops: bool, ask: IO[bytes] | None
) -> None:
    summary = shadow.summary
    told_at = time.monotonic()
    for one in told:
        was_lost = shadow.is_lost
        report = shadow.follow(one)
        if report is not None:
            if summary.differences <= MOST_REPORTS:
                _write(folder / f"difference-{summary.differences:02}.json", msgspec.json.encode(report))
            if stops:
                summary.ended = f"it was to stop at a difference: operation {report.number}"
                return
        if shadow.is_lost and not was_lost:
            _ask(ask)
        if time.monotonic() - told_at > SUMMARY_SECONDS:
            told_at = time.monotonic()
            _tell(folder, summary)


def _ask(engine: IO[bytes] | None) -> None:
    """Ask the engine to tell all anew, if it is still there."""
    if engine is not None:
        with contextlib.suppress(OSError):
            engine.write(RESUME)
            engine.flush()


def _entries(frames: Iterator[bytes], summary: Summary) -> Iterator[Entry]:
    for body in frames:
        for entry in _frame.decode(body):
            if isinstance(entry, Cost):
                summary.cost = Spent(*msgspec.structs.astuple(entry))
            else:
                yield entry


def _tell(folder: Path, summary: Summary) -> None:
    summary.cpu_seconds = time.process_time()
    _write(folder / SUMMARY, msgspec.json.encode(summary))


def give_up(folder: Path, defect: Exception) -> None:
    """Tell of a defect of ours where the summary is looked for."""
    why = f"a defect of the shadow: {type(defect).__name__}: {defect}"
    _write(folder / SUMMARY, msgspec.json.encode(Summary(following=False, ended=why)))


def _write(path: Path, text: bytes) -> None:
    """Write a file as a whole; where that cannot be done, nobody is there to be told."""
    with contextlib.suppress(OSError):
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_bytes(text)
        scratch.replace(path)
