"""The Python of another release of vLLM, to be laid over the environment of the release with a pinned list.

An environment takes 2 GB, and nearly all of it is the same for every release. Of a wheel of 400 MB,
importing the KV cache manager asks for the Python files alone; the compiled ones serve GPUs.
"""

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from kvref.targets.vllm import environment
from kvref.targets.vllm.making import INSTEAD, Making, Run, cache_folder, require_release, run_command


def interpreter_for(
    release: str, *, progress: Callable[[str], None], run: Run = run_command
) -> tuple[Path, Path | None]:
    """Give an interpreter, and the folder to lay over its packages, if it has another release of vLLM."""
    require_release(release)
    pins = environment.pins_for(release)
    listed = environment.release_of_list(pins)
    python = environment.python_for(listed, progress=progress, run=run)
    if listed == release:
        return python, None
    # What the wheel's Python files can import depends on the environment below.
    folder = cache_folder() / f"vllm-{release}-over-{python.parent.parent.name}"
    overlay = _Overlay(release, folder, progress, run, below=python, pins=pins)
    overlay.ensure()
    return python, folder


@dataclass(frozen=True)
class _Overlay(Making):
    """One release's Python files, and how they are had."""

    space: ClassVar = "some 500 MB"
    what: ClassVar = "folder"

    below: Path = field(kw_only=True)
    pins: Path = field(kw_only=True)

    @property
    def python(self) -> Path:
        return self.below

    def make(self) -> None:
        with tempfile.TemporaryDirectory(prefix="download-", dir=self.folder.parent) as scratch:
            self.say("downloading its wheel, some 400 MB, of which some 50 MB are kept")
            # pip holds what it downloads against the digest that the index states.
            self.pip(
                "download", "--no-deps", "--only-binary", "vllm", "--no-cache-dir", "--dest", scratch,
                f"vllm=={self.release}",
            )  # fmt: skip
            for wheel in Path(scratch).glob("*.whl"):
                self.unpack(wheel)
        self.verify(self.pins, flags=("-P",), path=self.folder)

    def unpack(self, wheel: Path) -> None:
        """Keep the Python files, and what tells the release."""
        try:
            with zipfile.ZipFile(wheel) as files:
                kept = [name for name in files.namelist() if name.endswith((".py", ".dist-info/METADATA"))]
                files.extractall(self.folder, kept)
        except zipfile.BadZipFile as broken:
            what = f"its wheel cannot be unpacked ({broken})"
            raise self.failure(what, f"try again, {INSTEAD}") from broken
