"""The process beside vLLM's scheduler, from this side: workloads in, recordings out."""

import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import msgspec

from kvref.errors import UserError
from kvref.scheduler.recording import Recording
from kvref.scheduler.workload import Workload
from kvref.targets.vllm import environment, interpreter, overlay
from kvref.targets.vllm.channel import BrokenChannelError, Channel
from kvref.targets.vllm.making import EnvironmentUnavailable
from kvref.targets.vllm.scheduler.record import Order

RELEASE = "0.23.0"
PATIENCE_SECONDS = 300.0
LONGEST_WORDS = 300


class SchedulerProcess:
    """vLLM's scheduler in an interpreter that has it. Raises UserError when it hangs, dies or lies."""

    def __init__(self, python: Path | None, tell: Callable[[str], None], release: str = RELEASE) -> None:
        try:
            if python is None:
                chosen, packages = overlay.interpreter_for(release, progress=tell)
            else:
                chosen, packages = environment.python_at(python), None
        except EnvironmentUnavailable as unavailable:
            raise UserError(str(unavailable)) from unavailable
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kvref-")))
            self._errors = opened.enter_context((folder / "stderr").open("w+b"))
            module, variables = "kvref.targets.vllm.scheduler.record", interpreter.variables(folder, packages)
            self._process = interpreter.started(chosen, module, variables, self._errors)
            opened.callback(self._end)
            self._opened = opened.pop_all()
        self._channel = Channel(self._process)

    def record(self, workload: Workload, seed: int) -> Recording:
        """Serve a workload, and give its recording."""
        try:
            answer = self._channel.ask(msgspec.msgpack.encode(Order(workload, seed)), PATIENCE_SECONDS)
            return msgspec.msgpack.decode(answer, type=Recording)
        except BrokenChannelError as broken:
            raise self._failure(str(broken)) from broken
        except msgspec.MsgspecError as rubbish:
            raise self._failure(f"sent what is no recording ({rubbish})") from rubbish

    def close(self) -> None:
        """End the process, and wait for it."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _failure(self, what: str) -> UserError:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        words = f": {lines[-1][:LONGEST_WORDS]}" if lines else ""
        return UserError(f"vLLM's scheduler {what}{words}. Try --python with an interpreter that has vLLM.")
