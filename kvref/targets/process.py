"""A driver as a target: a process in any language, asked over its standard input and output.

`process_messages` has what is said, `process_link` and `process_child` how, `process_words` what it means.
What a driver does instead of answering is told with the operation that it follows.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, final

from invariants.view import View
from kvref.errors import ConfigurationError, UserError, WrongAnswerError
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import CaseResult, TargetGivenUpError, digest
from kvref.targets.capabilities import Capabilities
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Picture, Session
from kvref.targets.process_link import ANSWER_SECONDS, START_SECONDS, Link
from kvref.targets.process_messages import LEVELS, Applied, Apply, Level, Look, Open, Opened, Refused, Shown
from kvref.targets.process_words import ImplausibleError, Words, capabilities_of

MOST_AT_ONCE = 100
BLOCKS_AT_ONCE = 1 << 15
"""Operations are asked for in batches of so many, or fewer where their snapshots are large."""


@final
class ProcessTarget:
    """The driver that `command` runs, held to `level`.

    Raises UserError if it cannot be run, does not speak the protocol, or does not offer the level.
    """

    catalogue: Catalogue = ()

    def __init__(
        self,
        command: str,
        level: Level = "exact",
        *,
        answer_seconds: float = ANSWER_SECONDS,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._link: Final = Link(command, answer_seconds, start_seconds)
        self._lock: Final = threading.RLock()
        """A batch may run while another one's differences are explained."""
        self._live: LiveSession | None = None
        hello = self._link.hello
        self.name: Final = hello.name
        if LEVELS.index(hello.level) < LEVELS.index(level):
            self.close()
            raise UserError(
                f"{hello.name} offers level {hello.level}, not {level}: use --level {hello.level}"
            )
        self.capabilities: Final[Capabilities] = capabilities_of(hello.capabilities, hello.name, hello.level)

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the driver has used."""
        return self._link.cpu_seconds

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """Run whole cases for their digests. Raises TargetGivenUpError when there are too many faults."""
        results: list[CaseResult] = []
        try:
            results.extend(self._result(trace) for trace in traces)
        except UserError as given_up:
            raise TargetGivenUpError(str(given_up), results) from given_up
        return results

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation, up to a fault."""
        pictures: list[Picture] = []
        with suppress(WrongAnswerError):
            pictures.extend(self._pictures(trace))
        return pictures

    def opener(self, configuration: Configuration, /) -> Session:
        """A manager in the driver, alive until the next one is built.

        Raises ConfigurationError if it is refused, and WrongAnswerError for a fault.
        """
        with self._lock:
            self._live = None
            answer = self._link.ask(Open(self._link.next_id(), configuration), (Opened, Refused))
            if isinstance(answer, Refused):
                raise ConfigurationError(answer.reason)
            self._live = LiveSession(self, configuration)
            return self._live

    def perform(
        self, session: "LiveSession", operations: Sequence[Operation], *, snapshots: bool
    ) -> list[Picture]:
        """Perform operations of the live session, up to one that raises. Raises WrongAnswerError.

        Without snapshots the views are empty.
        """
        with self._lock, self._asking(session):
            words = session.words
            calls = tuple([words.call(operation) for operation in operations])
            answer = self._link.ask(Apply(self._link.next_id(), calls, snapshots), (Applied,))
            seen, shown = answer.observations, answer.snapshots
            complete = bool(seen) and (len(seen) == len(calls) or seen[-1].error is not None)
            if not complete or len(seen) > len(calls) or len(shown) != (len(seen) if snapshots else 0):
                raise self._link.fault(
                    f"gave {len(seen)} observations and {len(shown)} snapshots of {len(calls)} operations"
                )
            try:
                observations = [
                    words.observation(operation, one)
                    for operation, one in zip(operations, seen, strict=False)
                ]
                views = [words.view(one) for one in shown] if snapshots else [NOTHING] * len(seen)
            except ImplausibleError as implausible:
                raise self._link.fault(str(implausible)) from implausible
            return [Picture(one, view) for one, view in zip(observations, views, strict=True)]

    def look(self, session: "LiveSession") -> View:
        """Picture the live session. Raises WrongAnswerError."""
        with self._lock, self._asking(session):
            answer = self._link.ask(Look(self._link.next_id()), (Shown,))
            try:
                return session.words.view(answer.snapshot)
            except ImplausibleError as implausible:
                raise self._link.fault(str(implausible)) from implausible

    def close(self) -> None:
        """End the driver and what it has started, and wait for it. May be called again."""
        self._link.close()

    # Whole cases

    def _result(self, trace: Trace) -> CaseResult:
        with self._lock:
            try:
                return CaseResult(tuple([digest(one.observation, one.view) for one in self._pictures(trace)]))
            except ConfigurationError as refusal:
                return CaseResult(refused=str(refusal))
            except WrongAnswerError as fault:
                return self._located(trace, fault)

    def _located(self, trace: Trace, first: WrongAnswerError) -> CaseResult:
        """The case again, one operation at a time, so that a fault has its place."""
        digests: list[bytes] = []
        try:
            digests.extend(digest(one.observation, one.view) for one in self._pictures(trace, at_once=1))
        except ConfigurationError as refusal:
            return CaseResult(refused=str(refusal))
        except WrongAnswerError as fault:
            return CaseResult(tuple(digests), fault=fault.actual)
        return CaseResult(
            tuple(digests[:-1]), fault=f"{first.actual} (not when asked one operation at a time)"
        )

    def _pictures(self, trace: Trace, at_once: int = MOST_AT_ONCE) -> Iterator[Picture]:
        with self._lock:
            session = self.opener(trace.configuration)
            assert isinstance(session, LiveSession)  # noqa: S101 - it is what an opener of ours makes
            size = max(1, min(at_once, BLOCKS_AT_ONCE // trace.configuration.num_blocks))
            for start in range(0, len(trace.operations), size):
                pictures = self.perform(session, trace.operations[start : start + size], snapshots=True)
                yield from pictures
                if pictures[-1].observation.error is not None:
                    return

    @contextmanager
    def _asking(self, session: "LiveSession") -> Iterator[None]:
        """The session is the live one; and no more if it does not answer."""
        if session is not self._live:
            raise LookupError("this manager is gone: another one has been built, or it has not answered")
        self._live = None
        yield
        self._live = session


NOTHING = View([], [], [], [], {}, {}, [], [], 0.0, None)


@final
class LiveSession:
    """A manager in the driver: one round trip an operation."""

    def __init__(self, target: ProcessTarget, configuration: Configuration) -> None:
        self.words: Final = Words(configuration)
        self._target: Final = target

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. Raises WrongAnswerError."""
        (picture,) = self._target.perform(self, [operation], snapshots=False)
        return picture.observation

    def view(self) -> View:
        """The manager's state, now. Raises WrongAnswerError."""
        return self._target.look(self)
