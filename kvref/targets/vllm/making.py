"""Folders in the cache that pip fills: made once, by one process, and only used when whole."""

import contextlib
import errno
import os
import re
import shutil
import subprocess
import sysconfig
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import filelock
import platformdirs

from kvref.errors import UserError

ATTEMPTS: Final = 3
PAUSE_S: Final = 10.0
INSTEAD: Final = "or name an interpreter that has vLLM with --python PATH"
QUIET: Final = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}

_MARKER: Final = "complete"
_IMPORT: Final = (
    "import vllm.v1.core.kv_cache_manager, vllm.v1.request, vllm.v1.core.kv_cache_utils, vllm.sampling_params,"
    " vllm.multimodal.inputs, vllm.lora.request, vllm.v1.kv_cache_interface"
)
_NETWORK: Final = re.compile(
    r"connection broken|ConnectionError|NameResolutionError|ProxyError|SSLError|Max retries exceeded|timed out"
    r"|(Connect|Read)Timeout|Connection (refused|reset|aborted)|Network is unreachable|name resolution"
    r"|Could not fetch URL|IncompleteRead|HTTP error (407|429|5\d\d)"
)

Run = Callable[[Sequence[str], Mapping[str, str]], subprocess.CompletedProcess[str]]


class EnvironmentUnavailable(UserError):  # noqa: N818 -- it tells a state of the world
    """No interpreter with vLLM can be had; one line: what, where, and what to do."""


def run_command(command: Sequence[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its output captured; `extra` is added to the process environment."""
    return subprocess.run(  # noqa: S603 -- the commands are this package's own
        command, input="", env={**os.environ, **extra}, capture_output=True, errors="replace", check=False
    )


def require_release(text: str) -> None:
    """Raises EnvironmentUnavailable if `text` names no release."""
    if not re.fullmatch(r"\d+\.\d+\.\d+([a-z.]+\d+)?", text):
        raise EnvironmentUnavailable(f"vllm {text!r} is no release; name one like 0.23.0")


def cache_folder() -> Path:
    """Where everything is made."""
    return Path(os.environ.get("KVREF_CACHE_DIR") or platformdirs.user_cache_path("kvref")).absolute()


@dataclass(frozen=True)
class Making(ABC):
    """One folder, and how it is made."""

    space: ClassVar[str]
    """What it takes on the disk."""

    what: ClassVar[str]
    """What it holds."""

    release: str
    folder: Path
    progress: Callable[[str], None]
    run: Run
    started: float = field(default_factory=time.monotonic)

    @property
    @abstractmethod
    def python(self) -> Path:
        """The interpreter that pip runs in."""

    @abstractmethod
    def make(self) -> None:
        """Fill the folder, which is not there yet."""

    @property
    def is_complete(self) -> bool:
        """Whether the folder is whole and can be used."""
        return (self.folder / _MARKER).exists()

    def ensure(self) -> None:
        """Make the folder where it is not whole. Raises EnvironmentUnavailable."""
        if self.is_complete:
            return
        cache = self.folder.parent
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _lock(cache / f"{self.folder.name}.lock", self.say):
                # Another process may have made it while this one waited.
                if not self.is_complete:
                    self._make_anew()
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise self.no_space() from error
            what = f"vllm {self.release}: its {self.what} cannot be made in {cache} ({error})"
            to_do = f"set KVREF_CACHE_DIR to another folder, {INSTEAD}"
            raise EnvironmentUnavailable(f"{what}; {to_do}") from error

    def _make_anew(self) -> None:
        Path(f"{self.folder}.log").unlink(missing_ok=True)
        if self.folder.exists():
            self.say(f"throwing away the half-built or broken {self.what} in {self.folder}")
            shutil.rmtree(self.folder)
        self.make()
        (self.folder / _MARKER).touch()
        self.say("ready")

    def say(self, text: str) -> None:
        """Tell progress."""
        self.progress(f"vllm {self.release}: {text} [{time.monotonic() - self.started:.0f} s]")

    def failure(self, what: str, to_do: str) -> EnvironmentUnavailable:
        """The error that tells what happened, where more is told, and what to do."""
        return EnvironmentUnavailable(f"vllm {self.release}: {what} (log: {self.folder}.log); {to_do}")

    def no_space(self) -> EnvironmentUnavailable:
        """The error of a full disk."""
        to_do = f"free {self.space}, or set KVREF_CACHE_DIR to a folder on a larger disk"
        return self.failure(f"no disk space left for {self.folder}", to_do)

    def pip(self, command: str, *arguments: str) -> str:
        """Run pip, isolated (-I) from PYTHONPATH and the like; its own configuration still counts."""
        pip = [str(self.python), "-I", "-m", "pip", command, "--no-input", "--disable-pip-version-check"]
        pip += ["--progress-bar", "off", "--retries", "2"]
        if not {"PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"} & os.environ.keys():
            pip += ["--timeout", "60"]
        return self.call([*pip, *arguments])

    def call(self, command: Sequence[str]) -> str:
        """Run a command, again where the network failed; give its output or tell why there is none."""
        for attempt in range(1, ATTEMPTS + 1):
            done = self._logged(command, {})
            if not done.returncode:
                return done.stdout
            output = f"{done.stdout}\n{done.stderr}"
            if "No space left on device" in output or "Errno 28" in output:
                raise self.no_space()
            if not _is_network_failure(output):
                break
            if attempt < ATTEMPTS:
                self.say(f"the package index cannot be reached; again in {PAUSE_S:.0f} s")
                time.sleep(PAUSE_S)
        else:
            what = f"the package index cannot be reached ({ATTEMPTS} attempts)"
            raise self.failure(what, f"check the network, the proxy and pip's configuration, {INSTEAD}")
        if lacking := re.search(r"No matching distribution found for (\S+)", output):
            what = f"the package index has no {lacking[1]} for this Python on {sysconfig.get_platform()}"
            raise self.failure(what, f"ask for a release that it has, or for another index, {INSTEAD}")
        what = f"building its {self.what} failed: {_last_line(output)!r}"
        raise self.failure(what, f"mend that, {INSTEAD}")

    def verify(self, pins: Path, flags: Sequence[str] = ("-I",), path: Path | None = None) -> None:
        """Import what the worker will. `pins` is the list that brought its dependencies."""
        self.say("importing its KV cache manager")
        extra = QUIET if path is None else QUIET | {"PYTHONPATH": str(path)}
        done = self._logged([str(self.python), *flags, "-c", _IMPORT], extra)
        if not done.returncode:
            return
        what = f"its import failed: {_last_line(done.stderr)}"
        if missing := re.findall(r"ModuleNotFoundError: No module named '([^']+)'", done.stderr):
            what = f"its import asks for the module {missing[-1]}, which {pins.name} does not bring"
        raise self.failure(what, f"use the release that {pins.name} is for, {INSTEAD}")

    def _logged(self, command: Sequence[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        done = self.run(command, extra)
        # A full disk fails the log, too, and then what the command says is the thing to tell.
        with contextlib.suppress(OSError), Path(f"{self.folder}.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
        return done


def _lock(path: Path, say: Callable[[str], None]) -> contextlib.AbstractContextManager[object]:
    lock = filelock.FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"waiting for the process that holds {path}")
        return lock.acquire()


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word why")


def _is_network_failure(output: str) -> bool:
    # pip warns of each lost connection and tries again. What it warned of and then mended is no failure;
    # but an index that it gave up (no retries left) is told as one without the package.
    given_up = r"(?!.*Retry\(total=0)" if "No matching distribution" in output else ""
    output = re.sub(rf"^WARNING:{given_up}.*", "", output, flags=re.MULTILINE)
    return _NETWORK.search(output) is not None
