"""An interpreter that can import vLLM's KV cache manager, in a cached environment of its own.

vLLM, installed plainly, brings CUDA and some 150 packages; importing its KV cache manager asks for CPU
torch and some fifty. A pinned list beside this file names them.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import filelock
import platformdirs

from kvref.errors import UserError

ATTEMPTS: Final = 3
PAUSE_S: Final = 10.0

_LISTS: Final = Path(__file__).parent
_INSTEAD: Final = "or name an interpreter that has vLLM with --python PATH"
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
    return subprocess.run(  # noqa: S603 -- the commands are this module's own
        command, input="", env={**os.environ, **extra}, capture_output=True, errors="replace", check=False
    )


def python_for(release: str, *, progress: Callable[[str], None], run: Run = run_command) -> Path:
    """Give the interpreter of an environment with vLLM `release`; build it where there is none yet."""
    if not re.fullmatch(r"\d+\.\d+\.\d+([a-z.]+\d+)?", release):
        raise EnvironmentUnavailable(f"vllm {release!r} is no release; name one like 0.23.0")
    pins = _pins_for(release)
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:8]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    cache = Path(os.environ.get("KVREF_CACHE_DIR") or platformdirs.user_cache_path("kvref")).absolute()
    build = _Build(release, pins, cache / f"vllm-{release}-py{version}-{digest}", progress, run)
    if build.is_complete():
        return build.python
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / f"{build.folder.name}.lock", build.say):
            # Another process may have built it while this one waited.
            if not build.is_complete():
                build.make()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise build.no_space() from error
        what = f"vllm {release}: its environment cannot be made in {cache} ({error})"
        raise EnvironmentUnavailable(f"{what}; set KVREF_CACHE_DIR to another folder, {_INSTEAD}") from error
    return build.python


def python_at(path: Path, *, run: Run = run_command) -> Path:
    """Give the interpreter at `path`, once it is seen to have vLLM."""
    # Not resolved: behind its symbolic link, an environment's interpreter is the bare one.
    python = path.absolute()
    release_of(python, run=run)
    return python


def current_python() -> Path:
    """Give the interpreter that runs this, where it has vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise EnvironmentUnavailable(f"{sys.executable} has no vllm; install it there, {_INSTEAD}")
    return Path(sys.executable)


def release_of(python: Path, *, run: Run = run_command) -> str:
    """Tell which release of vLLM an interpreter has."""
    try:
        done = run([str(python), "-c", "import importlib.metadata as m; print(m.version('vllm'))"], {})
    except OSError as error:
        what = f"{python} cannot be run ({error.strerror})"
        raise EnvironmentUnavailable(f"{what}; name an interpreter that has vLLM") from error
    if done.returncode:
        raise EnvironmentUnavailable(f"{python} has no vllm; install it there, {_INSTEAD}")
    return done.stdout.strip()


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


def _pins_for(release: str) -> Path:
    own = _LISTS / f"requirements-{release}.txt"
    return own if own.exists() else max(_LISTS.glob("requirements-*.txt"), key=_numbers)


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


@dataclass(frozen=True)
class _Build:
    """One environment, and how it is made."""

    release: str
    pins: Path
    folder: Path
    progress: Callable[[str], None]
    run: Run
    started: float = field(default_factory=time.monotonic)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def is_complete(self) -> bool:
        # The interpreter is a link: it dangles once the one that made the environment is gone.
        return (self.folder / _MARKER).exists() and self.python.exists()

    def say(self, text: str) -> None:
        self.progress(f"vllm {self.release}: {text} [{time.monotonic() - self.started:.0f} s]")

    def failure(self, what: str, to_do: str) -> EnvironmentUnavailable:
        return EnvironmentUnavailable(f"vllm {self.release}: {what} (log: {self.folder}.log); {to_do}")

    def no_space(self) -> EnvironmentUnavailable:
        to_do = "free some 3 GB, or set KVREF_CACHE_DIR to a folder on a larger disk"
        return self.failure(f"no disk space left for {self.folder}", to_do)

    def make(self) -> None:
        Path(f"{self.folder}.log").unlink(missing_ok=True)
        if self.folder.exists():
            self.say(f"throwing away the half-built or broken environment in {self.folder}")
            shutil.rmtree(self.folder)
        if self.pins.name != f"requirements-{self.release}.txt":
            self.say(f"no pinned list is known for it, so trying {self.pins.name}")
        pins = dict(re.findall(r"^([\w-]+)==(\S+)", self.pins.read_text(), re.MULTILINE))
        self.say(f"creating environment in {self.folder}")
        self.call([sys.executable, "-m", "venv", str(self.folder)])
        self.say("updating pip")
        self.install(f"pip=={pins['pip']}")
        # vLLM first: a release that does not exist is told at once. Built from source, it asks for CUDA.
        self.say("installing vLLM without its dependencies")
        self.install("--no-deps", "--only-binary", "vllm", f"vllm=={self.release}")
        self.install_torch(pins["torch"])
        self.say(f"installing the {len(pins)} packages of {self.pins.name}")
        self.install("--no-deps", "-r", str(self.pins))
        self.say("importing its KV cache manager")
        self.verify()
        (self.folder / _MARKER).touch()
        self.say("ready")

    def install_torch(self, version: str) -> None:
        told = self.install("--dry-run", "--quiet", "--report", "-", f"torch=={version}")
        names = [package["metadata"]["name"] for package in json.loads(told)["install"]]
        kind = f"CPU torch {version}"
        if any(name.startswith("nvidia-") for name in names):
            # pip's report tells no sizes.
            kind = f"torch {version} with CUDA: {len(names)} packages, several GB; an index of CPU builds is less"
        self.say(f"installing {kind}")
        self.install(f"torch=={version}")

    def install(self, *arguments: str) -> str:
        # Isolated (-I) from PYTHONPATH and the like; pip's own configuration still counts.
        pip = [str(self.python), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        pip += ["--progress-bar", "off", "--retries", "2"]
        if not {"PIP_TIMEOUT", "PIP_DEFAULT_TIMEOUT"} & os.environ.keys():
            pip += ["--timeout", "60"]
        return self.call([*pip, *arguments])

    def call(self, command: Sequence[str]) -> str:
        """Run a command, again where the network failed; give its output or tell why there is none."""
        for attempt in range(1, ATTEMPTS + 1):
            done = self.logged(command, {})
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
            raise self.failure(what, f"check the network, the proxy and pip's configuration, {_INSTEAD}")
        if lacking := re.search(r"No matching distribution found for (\S+)", output):
            what = f"the package index has no {lacking[1]} for this Python on {sysconfig.get_platform()}"
            raise self.failure(what, f"ask for a release that it has, or for another index, {_INSTEAD}")
        what = f"building its environment failed: {_last_line(output)!r}"
        raise self.failure(what, f"mend that, {_INSTEAD}")

    def verify(self) -> None:
        quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        done = self.logged([str(self.python), "-I", "-c", _IMPORT], quiet)
        if not done.returncode:
            return
        what = f"its import failed: {_last_line(done.stderr)}"
        if missing := re.findall(r"ModuleNotFoundError: No module named '([^']+)'", done.stderr):
            what = f"its import asks for the module {missing[-1]}, which {self.pins.name} does not bring"
        raise self.failure(what, f"use the release that {self.pins.name} is for, {_INSTEAD}")

    def logged(self, command: Sequence[str], extra: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        done = self.run(command, extra)
        # A full disk fails the log, too, and then what the command says is the thing to tell.
        with contextlib.suppress(OSError), Path(f"{self.folder}.log").open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
        return done
