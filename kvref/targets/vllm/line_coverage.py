"""Which lines and branches of vLLM's core files were run: measured in the worker, by coverage.py.

Nothing is installed beside vLLM: the worker sees the coverage.py of this interpreter.
"""

import ast
from importlib.util import find_spec
from pathlib import Path
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

    `functions` names the function of each line.
    """

    name: str
    statements: tuple[int, ...]
    missed: tuple[int, ...]
    branches: int
    missed_branches: int
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
        return tuple(self._of(path) for path in self._files)

    def _of(self, path: Path) -> FileCoverage:
        _, statements, _, missed, _ = self._coverage.analysis2(str(path))
        branches = self._coverage.branch_stats(str(path))
        return FileCoverage(
            path.name,
            tuple(statements),
            tuple(missed),
            sum(total for total, _ in branches.values()),
            sum(total - taken for total, taken in branches.values()),
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
