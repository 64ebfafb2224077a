"""The real vLLM as a target: a worker process in an interpreter that has it.

`interpreter` tells what the worker's interpreter sees of this one, `channel` how they talk.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec

from invariants.view import View
from kvref.errors import ConfigurationError, UnpicturableError, UserError
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import CaseResult
from kvref.targets.capabilities import Capabilities
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Picture, Session
from kvref.targets.vllm import environment, interpreter, line_coverage, overlay
from kvref.targets.vllm.channel import BrokenChannelError, Channel
from kvref.targets.vllm.deviations import CATALOGUE
from kvref.targets.vllm.making import EnvironmentUnavailable
from kvref.targets.vllm.worker import (
    MEASURES,
    Answer,
    Apply,
    ApplyAll,
    Hello,
    Look,
    Looked,
    Measure,
    Measured,
    Open,
    Opened,
    Question,
    Ran,
    Refused,
    Run,
    Seen,
    SeenAll,
    Show,
    Shown,
)

START_SECONDS = 300.0
ANSWER_SECONDS = 600.0
LONGEST_WORDS = 300


class VllmTarget:
    """A worker process beside vLLM. Raises UserError when it hangs, dies or cannot be understood.

    `packages` is a folder with another release of vLLM than the interpreter's own. A worker that
    `measures` notes which lines of vLLM are run.
    """

    def __init__(
        self,
        python: Path,
        *,
        packages: Path | None = None,
        measures: bool = False,
        start_seconds: float = START_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kvref-")
        folder = Path(self._folder.name)
        variables = interpreter.variables(folder, packages)
        if measures:
            package = line_coverage.package()
            (folder / package.name).symlink_to(package)
            variables[MEASURES] = "1"
        self._errors = (folder / "stderr").open("w+b")
        self._last_words = ""
        try:
            self._process = interpreter.started(python, "kvref.targets.vllm.worker", variables, self._errors)
        except UserError:
            self._errors.close()
            self._folder.cleanup()
            raise
        self._channel = Channel(self._process)
        self._turn = Lock()  # a finding is explained while the next batch may be running
        self._answer_seconds = answer_seconds
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Answer)
        self._live: LiveSession | None = None
        hello = self._decode(lambda: self._channel.listen(start_seconds))
        if not isinstance(hello, Hello):
            raise self._failure("did not introduce itself")
        self.cpu_seconds = 0.0
        self.release = hello.release
        self.name = f"vllm=={hello.release}"
        self.capabilities: Capabilities = hello.capabilities

    @property
    def catalogue(self) -> Catalogue:
        """The known deviations of this release."""
        return tuple(deviation for deviation in CATALOGUE if self.release in deviation.releases)

    def opener(self, configuration: Configuration, /) -> Session:
        """A manager in the worker, alive until the next one is built. Raises ConfigurationError."""
        self._live = None
        answer = self._ask(Open(configuration))
        if isinstance(answer, Refused):
            raise ConfigurationError(answer.reason)
        if not isinstance(answer, Opened):
            raise self._misfit()
        self.cpu_seconds = answer.cpu_seconds
        self._live = LiveSession(self)
        return self._live

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """Run whole cases for their digests."""
        answer = self._ask(Run(tuple(traces)))
        if not isinstance(answer, Ran) or len(answer.results) != len(traces):
            raise self._misfit()
        self.cpu_seconds = answer.cpu_seconds
        return list(answer.results)

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation."""
        answer = self._ask(Show(trace))
        if not isinstance(answer, Shown) or len(answer.views) != len(answer.observations):
            raise self._misfit()
        views = [msgspec.msgpack.decode(raw, type=View) for raw in answer.views]
        return [Picture(seen, view) for seen, view in zip(answer.observations, views, strict=True)]

    def perform(self, session: "LiveSession", operation: Operation) -> Observation:
        """Perform one operation of the live session."""
        self._require(session)
        answer = self._ask(Apply(operation))
        if not isinstance(answer, Seen):
            raise self._misfit()
        return answer.observation

    def perform_all(
        self, session: "LiveSession", operations: Sequence[Operation], gone: Sequence[str]
    ) -> list[Observation]:
        """Perform many operations of the live session, and let go of requests behind them."""
        self._require(session)
        answer = self._ask(ApplyAll(tuple(operations), tuple(gone)))
        if not isinstance(answer, SeenAll):
            raise self._misfit()
        return list(answer.observations)

    def look(self, session: "LiveSession") -> View:
        """Picture the live session. Raises UnpicturableError."""
        self._require(session)
        answer = self._ask(Look())
        if isinstance(answer, Refused):
            raise UnpicturableError(answer.reason)
        if not isinstance(answer, Looked):
            raise self._misfit()
        return msgspec.msgpack.decode(answer.view, type=View)

    def measured(self) -> Measured:
        """Which lines of vLLM were run so far, by a worker that measures."""
        answer = self._ask(Measure())
        if not isinstance(answer, Measured):
            raise self._misfit()
        return answer

    def close(self) -> None:
        """End the worker and what it has started, and wait for it. May be called again."""
        self._kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._errors.close()
        self._folder.cleanup()

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _require(self, session: "LiveSession") -> None:
        if session is not self._live:
            raise LookupError("this manager is gone: another one has been built since")

    def _ask(self, question: Question) -> Answer:
        if self._process.returncode is not None:
            raise self._failure("has died")
        with self._turn:
            return self._decode(
                lambda: self._channel.ask(self._encoder.encode(question), self._answer_seconds)
            )

    def _decode(self, receive: Callable[[], bytes]) -> Answer:
        try:
            answer: Answer = self._decoder.decode(receive())
        except BrokenChannelError as broken:
            raise self._failure(str(broken)) from broken
        except msgspec.MsgspecError as rubbish:
            raise self._failure(f"sent what is not a message ({rubbish})") from rubbish
        return answer

    def _misfit(self) -> UserError:
        return self._failure("answered something else than it was asked")

    def _failure(self, what: str) -> UserError:
        """End the worker, and tell what it said last."""
        if not self._errors.closed:
            self._kill()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self._last_words = f": {lines[-1][:LONGEST_WORDS]}" if lines else ""
        self.close()
        return UserError(
            f"the vLLM worker {what}{self._last_words}. Try --python with an interpreter that has vLLM."
        )


class LiveSession:
    """A manager in the worker: one round trip an operation."""

    def __init__(self, target: VllmTarget) -> None:
        self._target = target

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. What vLLM raised is told in the observation."""
        return self._target.perform(self, operation)

    def apply_all(self, operations: Sequence[Operation], gone: Sequence[str]) -> list[Observation]:
        """Perform many operations in one round trip, and let go of the requests that are gone behind them."""
        return self._target.perform_all(self, operations, gone)

    def view(self) -> View:
        """The manager's state, now. Raises UnpicturableError if this release keeps it otherwise."""
        return self._target.look(self)


def open_vllm(
    release: str | None, python: Path | None, tell: Callable[[str], None], *, measures: bool = False
) -> VllmTarget:
    """The registry's entry point: a release, an interpreter that has vLLM, or this one."""
    packages = None
    try:
        if python is not None:
            chosen = environment.python_at(python)
        elif release is not None:
            chosen, packages = overlay.interpreter_for(release, progress=tell)
        else:
            chosen = environment.current_python()
    except EnvironmentUnavailable as unavailable:
        raise UserError(str(unavailable)) from unavailable
    return VllmTarget(chosen, packages=packages, measures=measures)
