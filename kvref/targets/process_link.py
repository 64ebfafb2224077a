"""Asks a driver and hears its answers; ends it when it gives none, and starts it anew, so often at the most."""

from typing import Final, TypeVar, final

import msgspec

from kvref.errors import UserError, WrongAnswerError
from kvref.targets.process_child import BrokenChildError, Child
from kvref.targets.process_messages import (
    PROTOCOL,
    Answer,
    Close,
    Failed,
    Hello,
    Introduction,
    Question,
    Version,
)

START_SECONDS = 30.0
ANSWER_SECONDS = 10.0
MOST_FAULTS = 20
"""So many faults of a driver are told before it is given up."""

LONGEST_QUOTE = 80

FAULT = "the driver"
"""What differs when a driver has not answered, and was ended for it."""

SEE = "docs/drivers.md tells what it should answer"

Expected = TypeVar("Expected", bound=Answer)


@final
class Link:
    """The driver that `command` runs, alive or to be started anew. `hello` is how it introduced itself.

    Raises UserError if it cannot be run, or does not speak the protocol.
    """

    def __init__(self, command: str, answer_seconds: float, start_seconds: float) -> None:
        self._command: Final = command
        self._seconds: Final = answer_seconds
        self._start_seconds: Final = start_seconds
        self._encoder: Final = msgspec.json.Encoder()
        self._decoder: Final = msgspec.json.Decoder(Answer)
        self._id = 0
        self._faults = 0
        self._spent_seconds = 0.0
        self._is_closed = False
        self._child: Child | None = None
        self.hello: Final = self._start()

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the driver has used."""
        return self._spent_seconds + (self._child.cpu_seconds if self._child else 0.0)

    def next_id(self) -> int:
        """The id of the next question."""
        self._id += 1
        return self._id

    def close(self) -> None:
        """End the driver and what it has started, and wait for it. May be called again."""
        self._is_closed = True
        child, self._child = self._child, None
        if child is not None:
            self._spent_seconds += child.cpu_seconds
            child.close(self._encoder.encode(Close(self.next_id())))

    def ask(self, question: Question, expected: tuple[type[Expected], ...]) -> Expected:
        """The answer to a question. Raises WrongAnswerError; UserError when the driver is given up."""
        if self._child is None:
            self._start()
        assert self._child is not None  # noqa: S101 - it was started
        try:
            line = self._child.ask(self._encoder.encode(question), self._seconds)
            return self._decode(line, question, expected)
        except BrokenChildError as broken:
            raise self.fault(str(broken)) from broken
        except WrongAnswerError:
            raise
        except BaseException:
            # An answer is on its way that nobody waits for any more.
            self._stop()
            raise

    def fault(self, what: str) -> WrongAnswerError | UserError:
        """End the driver, and tell what it did. Too many faults are the end."""
        self._stop()
        self._faults += 1
        if self._faults > MOST_FAULTS:
            return UserError(f"{self.hello.name} is given up after {MOST_FAULTS} faults; the last: it {what}")
        return WrongAnswerError(FAULT, "answers", what)

    def _start(self) -> Introduction:
        if self._is_closed:
            raise UserError("the driver has been closed")
        self._child = Child(self._command)
        try:
            question = Hello(self.next_id(), PROTOCOL)
            line = self._child.ask(self._encoder.encode(question), self._start_seconds)
            _check_version(line)
            return self._decode(line, question, (Introduction,))
        except BrokenChildError as broken:
            self._stop()
            raise UserError(f"the driver {self._command!r} {broken}: {SEE}") from broken
        except WrongAnswerError as gives_up:
            self._stop()
            raise UserError(f"the driver {self._command!r} {gives_up.actual}: {SEE}") from gives_up
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            self._spent_seconds += child.cpu_seconds
            child.end()

    def _decode(self, line: bytes, question: Question, expected: tuple[type[Expected], ...]) -> Expected:
        """The answer in a line. Raises BrokenChildError; WrongAnswerError if the driver itself gives up."""
        try:
            answer = self._decoder.decode(line)
        except msgspec.MsgspecError as rubbish:
            raise BrokenChildError(_unreadable(line, rubbish)) from rubbish
        if answer.id != question.id:
            raise BrokenChildError(f"answered question {answer.id} when it was asked question {question.id}")
        if isinstance(answer, Failed):
            raise WrongAnswerError("the answer", "what the operation returns", f"gives up: {answer.reason}")
        if not isinstance(answer, expected):
            raise BrokenChildError(f"gave another answer than it was asked for ({type(answer).__name__})")
        return answer


def _check_version(line: bytes) -> None:
    try:
        version = msgspec.json.decode(line, type=Version).protocol
    except msgspec.MsgspecError as rubbish:
        raise BrokenChildError(_unreadable(line, rubbish)) from rubbish
    if version != PROTOCOL:
        raise BrokenChildError(f"speaks protocol {version}, and this kvref protocol {PROTOCOL}")


def _unreadable(line: bytes, why: Exception) -> str:
    quote = line[:LONGEST_QUOTE].decode(errors="replace")
    return f"sent what is not an answer ({why}): {quote}"
