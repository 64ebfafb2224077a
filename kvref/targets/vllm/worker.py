"""The process beside vLLM: reads questions from standard input, answers on standard output.

Whole cases are run for their digests, or one case is shown, or a session is held operation by operation.
A message is its length in 4 bytes, big-endian, and a msgpack body. What vLLM prints goes to
standard error, so that it cannot mix with the answers.
"""

import os
import sys
import time
from typing import IO

import msgspec

from kvref.errors import ConfigurationError, UnpicturableError
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import CaseResult, picture_case, run_case
from kvref.targets.capabilities import Capabilities
from kvref.targets.picture import Opener, Session, apply_all
from kvref.targets.vllm.line_coverage import FileCoverage, Measurement

LENGTH_BYTES = 4
MOST_BYTES = 1 << 28
MEASURES = "KVREF_MEASURES_LINES"
"""The environment variable of a worker that is to note which lines of vLLM are run."""


class Hello(msgspec.Struct, tag=True):
    """Sent once, when vLLM is imported."""

    release: str
    capabilities: Capabilities


class Run(msgspec.Struct, tag=True):
    """Run these cases for their digests."""

    traces: tuple[Trace, ...]


class Show(msgspec.Struct, tag=True):
    """Run this case and send everything that was seen."""

    trace: Trace


class Open(msgspec.Struct, tag=True):
    """Build a manager, and let go of the one before."""

    configuration: Configuration


class Apply(msgspec.Struct, tag=True):
    """Perform one operation on the manager that was built last."""

    operation: Operation


class ApplyAll(msgspec.Struct, tag=True):
    """Perform many operations on the manager that was built last, and let go of these requests behind them."""

    operations: tuple[Operation, ...]
    gone: tuple[str, ...]


class Look(msgspec.Struct, tag=True):
    """Picture the manager that was built last."""


class Measure(msgspec.Struct, tag=True):
    """Tell which lines of vLLM were run so far: the process was started with `MEASURES` set."""


class Measured(msgspec.Struct, tag=True):
    """The lines and branches by file, and whether they were traced by compiled code."""

    files: tuple[FileCoverage, ...]
    is_fast: bool


class Ran(msgspec.Struct, tag=True):
    """The digests of a batch, and the processor time that this process has used since it began."""

    results: tuple[CaseResult, ...]
    cpu_seconds: float


class Shown(msgspec.Struct, tag=True):
    """What was seen of one case: observations, and views as msgpack."""

    observations: tuple[Observation, ...]
    views: tuple[msgspec.Raw, ...]


class Opened(msgspec.Struct, tag=True):
    """A manager is there, and the processor time that this process has used since it began."""

    cpu_seconds: float


class Refused(msgspec.Struct, tag=True):
    """Why there is no manager, or no picture of it."""

    reason: str


class Seen(msgspec.Struct, tag=True):
    """What an operation returned."""

    observation: Observation


class SeenAll(msgspec.Struct, tag=True):
    """What many operations returned, up to the first that raised."""

    observations: tuple[Observation, ...]


class Looked(msgspec.Struct, tag=True):
    """The manager's state, as msgpack."""

    view: msgspec.Raw


Question = Run | Show | Open | Apply | ApplyAll | Look | Measure
Answer = Hello | Ran | Shown | Opened | Refused | Seen | SeenAll | Looked | Measured


def write_message(stream: IO[bytes], message: Question | Answer) -> None:
    """Send one message."""
    write_bytes(stream, msgspec.msgpack.encode(message))


def write_bytes(stream: IO[bytes], body: bytes) -> None:
    """Send the body of a message."""
    stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
    stream.flush()


def read_body(stream: IO[bytes]) -> bytes | None:
    """The body of the next message, None if there are no more."""
    prefix = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(prefix, "big")) if prefix else None


class Desk:
    """Answers questions. It holds one manager at a time."""

    def __init__(self, opener: Opener, measurement: Measurement | None = None) -> None:
        self._opener = opener
        self._measurement = measurement
        self._session: Session | None = None

    def answer(self, question: Question) -> Answer:  # noqa: PLR0911 - one a question
        """The answer to one question."""
        match question:
            case Apply(operation=operation):
                return Seen(self._held().apply(operation))
            case ApplyAll(operations=operations, gone=gone):
                return SeenAll(tuple(apply_all(self._held(), operations, gone)))
            case Look():
                return self._look()
            case Open(configuration=configuration):
                return self._open(configuration)
            case Run(traces=traces):
                results = tuple(run_case(self._opener, trace) for trace in traces)
                return Ran(results, time.process_time())
            case Measure():
                if self._measurement is None:
                    return Refused("nothing is measured")
                return Measured(self._measurement.result(), self._measurement.is_fast)
            case Show(trace=trace):
                pictures = picture_case(self._opener, trace)
                views = tuple(msgspec.Raw(msgspec.msgpack.encode(p.view)) for p in pictures)
                return Shown(tuple(p.observation for p in pictures), views)

    def _open(self, configuration: Configuration) -> Answer:
        self._session = None
        try:
            self._session = self._opener(configuration)
        except ConfigurationError as refusal:
            return Refused(str(refusal))
        return Opened(time.process_time())

    def _look(self) -> Answer:
        try:
            return Looked(msgspec.Raw(msgspec.msgpack.encode(self._held().view())))
        except UnpicturableError as refusal:
            return Refused(str(refusal))

    def _held(self) -> Session:
        if self._session is None:
            raise LookupError("no manager has been built")
        return self._session


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer questions until there are no more."""
    measurement = Measurement() if MEASURES in os.environ else None
    import vllm  # noqa: PLC0415 - costs seconds

    from kvref.targets.vllm.releases import CAPABILITIES  # noqa: PLC0415
    from kvref.targets.vllm.session import VllmSession  # noqa: PLC0415

    write_message(answers, Hello(vllm.__version__, CAPABILITIES))
    decoder = msgspec.msgpack.Decoder(Question)
    desk = Desk(VllmSession, measurement)
    while (body := read_body(questions)) is not None:
        write_message(answers, desk.answer(decoder.decode(body)))


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, own_output)
