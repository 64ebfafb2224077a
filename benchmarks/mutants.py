"""Forty one-line mutants of the reference and the spec, drawn by seed, and what kills each.

A mutant changes one operator, comparison, constant or condition. It is killed by the first of: the fuzzer
against the real vLLM, the fuzzer against the invariants, the tests. Survivors are looked up in
`EQUIVALENT`, which says why they cannot be told apart; any other survivor ends with exit code 1.
"""

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("kvref/reference", "spec")
CASES = "400"
SECONDS = 300

KILLERS: tuple[tuple[str, list[str]], ...] = (
    ("fuzz against vLLM", ["-m", "kvref.cli", "fuzz", "--seed", "11", "--cases", CASES]),
    (
        "fuzz against the invariants",
        ["-m", "kvref.cli", "fuzz", "--target", "reference", "--level", "invariants", "--cases", "150"],
    ),
    ("tests", ["-m", "pytest", "-q", "-x", "-m", "not vllm", "-p", "no:cacheprovider", "tests"]),
)

EQUIVALENT: dict[str, str] = {}

_OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_NAMES = {"min": "max", "max": "min", "all": "any", "any": "all"}


@dataclass(frozen=True)
class Mutant:
    """One changed line of one file."""

    path: Path
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What `EQUIVALENT` knows it by."""
        return f"{self.path}: {self.before} -> {self.after}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may stand in place of `node`."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _OPERATORS:
        other = copy.copy(node)
        other.op = _OPERATORS[type(node.op)]()
        yield other
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _OPERATORS:
        other_compare = copy.copy(node)
        other_compare.ops = [_OPERATORS[type(node.ops[0])](), *node.ops[1:]]
        yield other_compare
    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield ast.copy_location(ast.Constant(node.value + 1), node)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.copy_location(ast.Constant(not node.value), node)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        yield ast.copy_location(ast.Name(_NAMES[node.id], node.ctx), node)
    if isinstance(node, ast.If | ast.IfExp):
        other_if = copy.copy(node)
        other_if.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        yield other_if
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reversed":
        yield ast.copy_location(ast.Call(ast.Name("list", ast.Load()), node.args, []), node)


class Replace(ast.NodeTransformer):
    """Replaces one node of a tree."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        """The new node for the old, all else as it was."""
        return self.new if node is self.old else self.generic_visit(node)


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements inside functions, outermost first; annotations and docstrings are left out."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                for inner in ast.walk(statement):
                    if isinstance(inner, ast.stmt) and not isinstance(inner, ast.FunctionDef):
                        yield inner


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """A statement's expressions, without those of statements inside it."""
    yield statement
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt):
            yield from (node for node in ast.walk(child) if not isinstance(node, ast.stmt))


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of one file."""
    text = (ROOT / path).read_text()
    count = sum(1 for s in statements(ast.parse(text)) for n in own_nodes(s) for _ in changes(n))
    for wanted in range(count):
        tree = ast.parse(text)
        places = [(s, n, new) for s in statements(tree) for n in own_nodes(s) for new in changes(n)]
        statement, node, new = places[wanted]
        before = ast.unparse(statement).splitlines()
        mutated = Replace(node, new).visit(tree)
        source = ast.unparse(ast.fix_missing_locations(mutated))
        after = ast.unparse(new if node is statement else statement).splitlines()
        line = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
        yield Mutant(path, getattr(node, "lineno", 0), before[line].strip(), after[line].strip(), source)


def killer_of(mutant: Mutant, folder: Path, python: str) -> str | None:
    """The first check that objects, None if none does."""
    target = folder / mutant.path
    original = target.read_text()
    target.write_text(mutant.source)
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for name, arguments in KILLERS:
            try:
                done = subprocess.run(  # noqa: S603 - our own checks
                    [python, *arguments],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"{name} (never ends)"
            if done.returncode != 0:
                return name
    finally:
        target.write_text(original)
    return None


def main() -> int:
    """Draw, kill, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    paths = sorted(
        p.relative_to(ROOT)
        for folder in FOLDERS
        for p in (ROOT / folder).glob("*.py")
        if p.name != "__init__.py"
    )
    everything = [mutant for path in paths for mutant in mutants_of(path)]
    drawn = Random(options.seed).sample(everything, options.count)  # noqa: S311 - not for secrets
    unexplained = 0
    print(f"{options.count} of {len(everything)} mutants, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kvref-mutants-") as name:
        folder = Path(name)
        for part in ("kvref", "spec", "invariants", "tests", "pyproject.toml"):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        for number, mutant in enumerate(drawn, 1):
            start = time.monotonic()
            killer = killer_of(mutant, folder, sys.executable)
            reason = None if killer else EQUIVALENT.get(mutant.name)
            unexplained += killer is None and reason is None
            fate = killer or (f"equivalent: {reason}" if reason else "SURVIVES")
            took = time.monotonic() - start
            print(f"{number:2d} {mutant.path}:{mutant.line}", flush=True)
            print(f"   {mutant.before}  ->  {mutant.after}")
            print(f"   {fate} ({took:.0f} s)", flush=True)
    print(f"{options.count - unexplained} explained, {unexplained} unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
