"""Which lines and branches of vLLM's core files were run: measured in the worker, by coverage.py.

Nothing is installed beside vLLM: the worker sees the coverage.py of this interpreter.
"""

import ast
import json
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from kvref.errors import UserError

CORE: Final = (
    "block_pool.py",
    "kv_cache_manager.py",
    "kv_cache_coordinator.py",
    "single_type_kv_cache_manager.py",
)
"""The files of interest, in vllm/v1/core."""


class FileCoverage(msgspec.Struct, frozen=True):
    """One file: its lines with a statement, which of them were not run, and its branches likewise.

    A branch goes from a line to a line, or out of the function that begins at the line whose negative it names.
    `functions` names the function of each line.
    """

    name: str
    statements: tuple[int, ...]
    missed: tuple[int, ...]
    branches: int
    missed_branches: tuple[tuple[int, int], ...]
    functions: dict[int, str]


def package() -> Path:
    """Where this interpreter has coverage.py. Raises UserError if it has none."""
    found = find_spec("coverage")
    if found is None or found.origin is None:
        raise UserError("--coverage needs coverage.py: pip install 'kvref[coverage]'")
    return Path(found.origin).parent


class Measurement:
    """Runs from the moment it is made; vLLM must be imported later."""

    def __init__(self) -> None:
        from coverage import Coverage  # noqa: PLC0415 - it is there where coverage is asked for

        found = find_spec("vllm")
        assert found is not None  # noqa: S101 - this is the process beside vLLM
        assert found.origin is not None  # noqa: S101
        folder = Path(found.origin).parent / "v1" / "core"
        self._files = [folder / name for name in CORE]
        self._coverage: Any = Coverage(
            data_file=None, branch=True, include=[str(path) for path in self._files], config_file=False
        )
        self._coverage.start()

    @property
    def is_fast(self) -> bool:
        """Whether coverage.py found its compiled tracer: it is built for one version of Python."""
        from coverage.tracer import CTracer  # noqa: PLC0415

        return CTracer is not None

    def result(self) -> tuple[FileCoverage, ...]:
        """What was run so far."""
        with TemporaryDirectory() as folder:
            report = Path(folder) / "coverage.json"
            self._coverage.json_report(outfile=str(report))
            files = json.loads(report.read_text())["files"]
        told = {Path(name).name: file for name, file in files.items()}
        return tuple(_measured(path, told[path.name]) for path in self._files)


def _measured(path: Path, told: dict[str, Any]) -> FileCoverage:
    missed = tuple(told["missing_lines"])
    return FileCoverage(
        path.name,
        tuple(sorted((*told["executed_lines"], *missed))),
        missed,
        told["summary"]["num_branches"],
        tuple((start, end) for start, end in told["missing_branches"]),
        functions_of(path.read_text()),
    )


def functions_of(source: str) -> dict[int, str]:
    """The qualified name of the function around each line that is in one."""
    names: dict[int, str] = {}

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                name = f"{prefix}{child.name}"
                if isinstance(child, ast.FunctionDef):
                    assert child.end_lineno is not None  # noqa: S101 - parsed from text
                    names.update(dict.fromkeys(range(child.lineno, child.end_lineno + 1), name))
                walk(child, f"{name}.")
            else:
                walk(child, prefix)

    walk(ast.parse(source), "")
    return names
