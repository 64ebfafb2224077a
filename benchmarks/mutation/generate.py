"""The mutants: Cosmic Ray's, of every operator that it has, kept with their results in its session files.

A module's file has its name and a digest of its text: what was found about another text is not used.
Positions in annotations are left out: nothing runs there, and a mutant that cannot be imported says
nothing about what finds faults.
"""

import ast
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from cosmic_ray.ast import get_ast
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult
from found import Change, Found

ROOT = Path(__file__).resolve().parent.parent.parent
SESSIONS = ROOT / "dist" / "mutation"

Span = tuple[tuple[int, int], tuple[int, int]]


def modules_of(manager: str) -> list[Path]:
    """The files of a manager, from the root of the repository."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "kvref" / manager).glob("*.py"))


def session_of(module: Path, folder: Path = SESSIONS) -> AbstractContextManager[WorkDB]:
    """The file with a module's mutants and what became of them; made if there is none."""
    digest = sha256((ROOT / module).read_bytes()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module.parent.name}-{module.stem}-{digest}.sqlite"
    if not path.exists():
        _begin(path, module)
    opened: AbstractContextManager[WorkDB] = use_db(str(path), WorkDB.Mode.open)
    return opened


def _begin(path: Path, module: Path) -> None:
    """Fill a new session with all mutants of a module, those in annotations skipped."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with use_db(str(fresh), WorkDB.Mode.create) as db:
        init([module], db, {})
        silent = list(_annotations((ROOT / module).read_text("utf-8")))
        for item in db.work_items:
            [mutation] = item.mutations
            if any(first <= mutation.start_pos < last for first, last in silent):
                db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED, "in an annotation"))
    fresh.rename(path)


def keep(db: WorkDB, item: WorkItem, found: Found) -> None:
    """Write a result where Cosmic Ray's own reports look for it."""
    outcome = TestOutcome.SURVIVED if found.fate.killer is None else TestOutcome.KILLED
    text = msgspec.json.encode(found).decode()
    db.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, text, outcome))


def kept(db: WorkDB) -> Iterator[tuple[str, Found]]:
    """All that were run, by job."""
    for job, result in db.results:
        if result.worker_outcome == WorkerOutcome.NORMAL:
            yield job, msgspec.json.decode(result.output, type=Found)


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


def change_of(item: WorkItem, changed: Mapping[str, str]) -> Change:
    """What makes a mutant differ from its module."""
    [mutation] = item.mutations
    [source] = changed.values()
    old, new = (ROOT / mutation.module_path).read_text("utf-8").splitlines(), source.splitlines()
    first = _same(old, new)
    behind = min(_same(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    before, after = (
        " ".join(line.strip() for line in lines[first : len(lines) - behind]).strip() for lines in (old, new)
    )
    return Change(str(mutation.module_path), first + 1, before, after)


def _same(some: list[str], others: list[str]) -> int:
    """How many lines are the same before the first that is not."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(some), len(others)))


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
