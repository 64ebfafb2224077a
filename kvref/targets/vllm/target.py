"""The real vLLM as a target: a worker process in an interpreter that has it.

`interpreter` tells what the worker's interpreter sees of this one.
"""

import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from invariants.view import View
from kvref.errors import UserError
from kvref.operations import Trace
from kvref.targets.base import CaseResult
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Picture
from kvref.targets.vllm import environment, interpreter
from kvref.targets.vllm.deviations import CATALOGUE
from kvref.targets.vllm.worker import (
    Answer,
    Hello,
    Question,
    Ran,
    Run,
    Show,
    Shown,
    read_body,
    write_message,
)

START_SECONDS = 300.0
ANSWER_SECONDS = 600.0
LONGEST_WORDS = 300


class VllmTarget:
    """A worker process beside vLLM. Raises UserError when it hangs, dies or cannot be understood."""

    def __init__(
        self, python: Path, *, start_seconds: float = START_SECONDS, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kvref-")
        folder = Path(self._folder.name)
        self._errors = (folder / "stderr").open("w+b")
        self._last_words = ""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the interpreter was chosen by the user
                [str(python), "-P", "-m", "kvref.targets.vllm.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=interpreter.variables(folder),
                start_new_session=True,  # Ctrl-C is for the campaign, which ends the worker itself
            )
        except OSError as unable:
            self._errors.close()
            self._folder.cleanup()
            raise UserError(f"{python} cannot be run ({unable.strerror}): name an interpreter") from unable
        self._answers: queue.Queue[bytes | str] = queue.Queue()
        self._answer_seconds = answer_seconds
        self._decoder = msgspec.msgpack.Decoder(Answer)
        threading.Thread(target=self._listen, daemon=True).start()
        hello = self._answer(start_seconds)
        if not isinstance(hello, Hello):
            raise self._failure("did not introduce itself")
        self.cpu_seconds = 0.0
        self.release = hello.release
        self.name = f"vllm=={hello.release}"

    @property
    def catalogue(self) -> Catalogue:
        """The known deviations of this release."""
        return tuple(deviation for deviation in CATALOGUE if self.release in deviation.releases)

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """Run whole cases for their digests."""
        answer = self._ask(Run(tuple(traces)))
        if not isinstance(answer, Ran) or len(answer.results) != len(traces):
            raise self._failure("answered something else than it was asked")
        self.cpu_seconds = answer.cpu_seconds
        return list(answer.results)

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation."""
        answer = self._ask(Show(trace))
        if not isinstance(answer, Shown) or len(answer.views) != len(answer.observations):
            raise self._failure("answered something else than it was asked")
        views = [msgspec.msgpack.decode(raw, type=View) for raw in answer.views]
        return [Picture(seen, view) for seen, view in zip(answer.observations, views, strict=True)]

    def close(self) -> None:
        """End the worker and what it has started, and wait for it. May be called again."""
        self._kill()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        self._errors.close()
        self._folder.cleanup()

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _listen(self) -> None:
        """Queue what the worker sends, and at last, as text, why there is no more."""
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        end = "has died"
        with self._process.stdout as stream:
            try:
                while (body := read_body(stream)) is not None:
                    self._answers.put(body)
            except ValueError as rubbish:
                end = f"sent what is not a message ({rubbish})"
        self._answers.put(end)

    def _ask(self, question: Question) -> Answer:
        if self._process.poll() is not None:
            raise self._failure("has died")
        threading.Thread(target=self._tell, args=(question,), daemon=True).start()
        return self._answer(self._answer_seconds)

    def _tell(self, question: Question) -> None:
        """Send a question. A worker that reads no more would block this; one that died answers nothing."""
        assert self._process.stdin is not None  # noqa: S101 - it was opened as a pipe
        with suppress(OSError, ValueError):
            write_message(self._process.stdin, question)

    def _answer(self, seconds: float) -> Answer:
        try:
            body = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise self._failure(f"did not answer within {seconds:g} s") from None
        if isinstance(body, str):
            raise self._failure(body)
        try:
            answer: Answer = self._decoder.decode(body)
        except msgspec.MsgspecError as rubbish:
            raise self._failure(f"sent what is not a message ({rubbish})") from rubbish
        return answer

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


def open_vllm(release: str | None, python: Path | None, tell: Callable[[str], None]) -> VllmTarget:
    """The registry's entry point: a release, an interpreter that has vLLM, or this one."""
    try:
        if python is not None:
            chosen = environment.python_at(python)
        elif release is not None:
            chosen = environment.python_for(release, progress=tell)
        else:
            chosen = environment.current_python()
    except environment.EnvironmentUnavailable as unavailable:
        raise UserError(str(unavailable)) from unavailable
    return VllmTarget(chosen)
