"""An interpreter that can import vLLM's KV cache manager, in a cached environment of its own.

vLLM, installed plainly, brings CUDA and some 150 packages; importing its KV cache manager asks for CPU
torch and some sixty. A pinned list beside this file names them.
"""

import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from kvref.targets.vllm.making import (
    INSTEAD,
    EnvironmentUnavailable,
    Making,
    Run,
    cache_folder,
    require_release,
    run_command,
)

_LISTS: Final = Path(__file__).parent


def python_for(release: str, *, progress: Callable[[str], None], run: Run = run_command) -> Path:
    """Give the interpreter of an environment with vLLM `release`; build it where there is none yet."""
    require_release(release)
    pins = pins_for(release)
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()[:8]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache_folder() / f"vllm-{release}-py{version}-{digest}"
    build = _Build(release, folder, progress, run, pins=pins)
    build.ensure()
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
        raise EnvironmentUnavailable(f"{sys.executable} has no vllm; install it there, {INSTEAD}")
    return Path(sys.executable)


def release_of(python: Path, *, run: Run = run_command) -> str:
    """Tell which release of vLLM an interpreter has."""
    try:
        done = run([str(python), "-c", "import importlib.metadata as m; print(m.version('vllm'))"], {})
    except OSError as error:
        what = f"{python} cannot be run ({error.strerror})"
        raise EnvironmentUnavailable(f"{what}; name an interpreter that has vLLM") from error
    if done.returncode:
        raise EnvironmentUnavailable(f"{python} has no vllm; install it there, {INSTEAD}")
    return done.stdout.strip()


def pins_for(release: str) -> Path:
    """The pinned list that serves a release: its own, or the newest."""
    own = _LISTS / f"requirements-{release}.txt"
    return own if own.exists() else max(_LISTS.glob("requirements-*.txt"), key=_numbers)


def release_of_list(pins: Path) -> str:
    """The release that a pinned list was made for."""
    return pins.stem.removeprefix("requirements-")


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


@dataclass(frozen=True)
class _Build(Making):
    """One environment, and how it is made."""

    space: ClassVar = "some 3 GB"
    what: ClassVar = "environment"

    pins: Path = field(kw_only=True)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_complete(self) -> bool:
        # The interpreter is a link: it dangles once the one that made the environment is gone.
        return super().is_complete and self.python.exists()

    def make(self) -> None:
        if release_of_list(self.pins) != self.release:
            self.say(f"no pinned list is known for it, so trying {self.pins.name}")
        pins = dict(re.findall(r"^([\w-]+)==(\S+)", self.pins.read_text(), re.MULTILINE))
        self.say(f"creating environment in {self.folder}")
        self.call([sys.executable, "-m", "venv", str(self.folder)])
        self.say("updating pip")
        self.pip("install", f"pip=={pins['pip']}")
        # vLLM first: a release that does not exist is told at once. Built from source, it asks for CUDA.
        self.say("installing vLLM without its dependencies")
        self.pip("install", "--no-deps", "--only-binary", "vllm", f"vllm=={self.release}")
        self.install_torch(pins["torch"])
        self.say(f"installing the {len(pins)} packages of {self.pins.name}")
        self.pip("install", "--no-deps", "-r", str(self.pins))
        self.verify(self.pins)

    def install_torch(self, version: str) -> None:
        told = self.pip("install", "--dry-run", "--quiet", "--report", "-", f"torch=={version}")
        names = [package["metadata"]["name"] for package in json.loads(told)["install"]]
        kind = f"CPU torch {version}"
        if any(name.startswith("nvidia-") for name in names):
            # pip's report tells no sizes.
            kind = f"torch {version} with CUDA: {len(names)} packages, several GB; an index of CPU builds is less"
        self.say(f"installing {kind}")
        self.pip("install", f"torch=={version}")
