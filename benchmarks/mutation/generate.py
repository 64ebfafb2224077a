"""The mutants: Cosmic Ray's, of every operator that it has, kept with their results in its session file.

Positions in annotations are left out: nothing runs there, and a mutant that cannot be imported says
nothing about what finds faults.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).resolve().parent.parent.parent

Span = tuple[tuple[int, int], tuple[int, int]]


def modules_of(package: str) -> list[Path]:
    """The files of a package, from the root of the repository."""
    folder = Path(*package.split("."))
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).glob("*.py"))


def begin(db: WorkDB, package: str) -> None:
    """Fill a new session with all mutants, those in annotations skipped."""
    paths = modules_of(package)
    init(paths, db, {})
    silent = {path: list(_annotations((ROOT / path).read_text("utf-8"))) for path in paths}
    for item in db.work_items:
        [mutation] = item.mutations
        if any(first <= mutation.start_pos < last for first, last in silent[mutation.module_path]):
            db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED, "in an annotation"))


def sample(items: list[WorkItem], count: int, seed: int) -> list[WorkItem]:
    """So many of them, drawn by seed from what a mutation is: job ids are Cosmic Ray's own, and random."""
    return Random(seed).sample(sorted(items, key=place), min(count, len(items)))  # noqa: S311 - not for secrets


def place(item: WorkItem) -> tuple[str, tuple[int, int], str, int]:
    """What tells a mutant from all others, on every machine."""
    [mutation] = item.mutations
    return (str(mutation.module_path), mutation.start_pos, mutation.operator_name, mutation.occurrence)


def mutated(item: WorkItem) -> Mapping[str, str]:
    """By module, the source of a mutant; only once in a process."""
    [mutation] = item.mutations
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    visitor = MutationVisitor(mutation.occurrence, operator)
    changed = visitor.walk(parsed(mutation.module_path))
    stem = mutation.module_path.stem
    return {"" if stem == "__init__" else stem: changed.get_code()}


@cache
def parsed(path: Path) -> Any:
    """Cosmic Ray's tree of a file. A mutation changes the tree: make it in a process that ends with it."""
    return get_ast((ROOT / path).read_text("utf-8"))


def _annotations(source: str) -> Iterator[Span]:
    """Where annotations stand, from line and column to line and column."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AnnAssign() | ast.arg():
                found = node.annotation
            case ast.FunctionDef():
                found = node.returns
            case _:
                found = None
        if found is not None:
            yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)
