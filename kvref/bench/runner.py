"""Runs the worker beside each release of vLLM, and gathers what it finds."""

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from kvref.bench.results import BenchResult, Footprint, ReleaseResult, WorkloadResult
from kvref.bench.worker import Began, Doing, Ended, Message, Settings
from kvref.errors import UserError
from kvref.targets.vllm import environment, interpreter
from kvref.targets.vllm.making import EnvironmentUnavailable

LONGEST_WORDS: Final = 300

Tell = Callable[[str, int, int], None]
"""Told what is being done, and how many parts of how many are done."""


def interpreter_of(release: str, python: Path | None, tell: Callable[[str], None]) -> Path:
    """An interpreter that has this release; an environment is made where there is none."""
    try:
        if python is None:
            return environment.python_for(release, progress=tell)
        return environment.python_at(python)
    except EnvironmentUnavailable as unavailable:
        raise UserError(str(unavailable)) from unavailable


def run(settings: Settings, interpreters: list[Path], tell: Tell) -> BenchResult:
    """Measure everything once beside every interpreter's vLLM."""
    start = time.monotonic()
    releases = tuple(run_beside(python, settings, tell) for python in interpreters)
    return BenchResult(
        machine(),
        settings.seed,
        settings.quick,
        settings.repeats,
        time.monotonic() - start,
        releases,
    )


def run_beside(python: Path, settings: Settings, tell: Tell) -> ReleaseResult:
    """One worker, from its first message to its last. Raises UserError if it cannot go on."""
    began: Began | None = None
    workloads: list[WorkloadResult] = []
    footprints: list[Footprint] = []
    with _worker(python, settings) as messages:
        for message in messages:
            done = len(workloads) + len(footprints)
            match message:
                case Began():
                    began = message
                case Doing(what=what) if began is not None:
                    tell(what, done, began.parts)
                case WorkloadResult():
                    workloads.append(message)
                case Footprint():
                    footprints.append(message)
                case Ended() if began is not None:
                    tell("done", done, began.parts)
                    return ReleaseResult(
                        began.release, began.python, began.absent, tuple(workloads), tuple(footprints)
                    )
    raise UserError("the worker ended without a word: run it once more")


@contextmanager
def _worker(python: Path, settings: Settings) -> Iterator[Iterator[Message]]:
    """A worker process and its messages; it is gone in the end, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder, tempfile.TemporaryFile() as errors:
        command = [str(python), "-P", "-m", "kvref.bench.worker", msgspec.json.encode(settings).decode()]
        process = subprocess.Popen(  # noqa: S603 - the interpreter was chosen by the user
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=interpreter.variables(Path(folder)),
            start_new_session=True,  # Ctrl-C is for this process, which ends the worker itself
        )
        try:
            yield _messages(process, errors)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _messages(process: subprocess.Popen[bytes], errors: IO[bytes]) -> Iterator[Message]:
    decoder = msgspec.json.Decoder(Message)
    assert process.stdout is not None  # noqa: S101 - it was opened as a pipe
    for line in process.stdout:
        try:
            message: Message = decoder.decode(line)
        except msgspec.MsgspecError as rubbish:
            raise UserError(f"the worker sent what is not a message ({rubbish})") from rubbish
        yield message
    if process.wait():
        errors.seek(0)
        words = errors.read().decode(errors="replace").strip().splitlines()
        why = words[-1][:LONGEST_WORDS] if words else "no word why"
        raise UserError(f"the worker has died ({why}): is its interpreter the one you meant?")


def machine() -> str:
    """The processor's name, how many of it may be used, and the system."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return f"{name}, {usable} cores, {platform.system()}"
