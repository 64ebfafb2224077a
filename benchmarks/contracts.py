"""Mutates every function that has a contract and every invariant: CrossHair or the test beside it must object.

A mutant changes one operator, comparison, constant or condition, or returns a constant. First its contract is
examined over a few paths, then the tests of its module are run. What survives needs a reason in `SURVIVORS`;
any other survivor ends with exit code 1. `python benchmarks/contracts.py --write` keeps what came out in `docs/contracts.json`.
"""

import argparse
import ast
import io
import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from pkgutil import iter_modules
from types import CodeType, FunctionType, ModuleType
from typing import cast

import pytest
from mutants import Replace, changes, own_nodes, statements

import invariants
import spec
from tools.prove.symbolic import Contract, contracts_of, examine

ROOT = Path(__file__).resolve().parent.parent

PATHS = 30
SECONDS = 60
KEPT = ROOT / "docs" / "contracts.json"
CROSSHAIR, TEST, ENDLESS, NOBODY = "CrossHair", "test", "never ends", "nobody"
EXITS = {1: NOBODY, 3: CROSSHAIR, 4: TEST, -signal.SIGXCPU: ENDLESS}

ZERO = ("", "0", "False", "Tokens(0)")
"""What a function returns that returns 0 already."""

SURVIVORS: dict[str, str] = {
    "spec.retention.cacheable_tokens: if eagle and aligned > 0: -> if eagle and aligned > 1:": (
        "an aligned length of 1 means an alignment of 1, where all tokens are aligned"
    ),
}
"""Why nothing can object, by what `Mutant.name` says."""


@dataclass(frozen=True)
class Mutant:
    """One function with one change."""

    function: FunctionType
    code: CodeType
    name: str


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions of a module that have a contract or are an invariant."""
    by_contract = {contract.function: None for contract in contracts_of(module)}
    predicates = [getattr(value, "predicate", None) for value in vars(module).values()]
    for one in (*by_contract, *predicates):
        if (
            isinstance(one, FunctionType)
            and one.__module__ == module.__name__
            and not getattr(one, "__isabstractmethod__", False)
        ):
            yield one


def mutants_of(function: FunctionType) -> Iterator[Mutant]:
    """Each change of a function by itself."""
    path = Path(function.__code__.co_filename)
    text = path.read_text()
    for wanted in range(len(list(_changed(ast.parse(text), function)))):
        tree = ast.parse(text)
        statement, old, new = list(_changed(tree, function))[wanted]
        before = ast.unparse(statement).partition("\n")[0]
        mutated = cast("ast.Module", Replace(old, new).visit(tree))
        after = ast.unparse(new if old is statement else statement).partition("\n")[0]
        code = compile(ast.fix_missing_locations(mutated), str(path), "exec")
        name = f"{function.__module__}.{function.__qualname__}: {before} -> {after}"
        yield Mutant(function, _inside(code, function.__code__), name)


def _changed(tree: ast.Module, function: FunctionType) -> Iterator[tuple[ast.stmt, ast.AST, ast.AST]]:
    first = function.__code__.co_firstlineno
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and first in (
            node.lineno,
            *(d.lineno for d in node.decorator_list),
        ):
            for statement in statements(ast.Module([node], [])):
                if isinstance(statement, ast.Return) and ast.unparse(statement)[7:] not in ZERO:
                    assert statement.value is not None  # noqa: S101 - else it is among them
                    yield statement, statement.value, ast.Constant(value=0)
                for old in own_nodes(statement):
                    yield from ((statement, old, new) for new in changes(old))


def _inside(code: CodeType, like: CodeType) -> CodeType:
    """The function's code in its module's."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if (constant.co_qualname, constant.co_firstlineno) == (like.co_qualname, like.co_firstlineno):
                return constant
            if like.co_qualname.startswith(constant.co_qualname + "."):
                return _inside(constant, like)
    raise LookupError(like.co_qualname)


def tests_beside(module: str) -> str:
    """The tests of a module: the file that mirrors it, or its folder if there is none."""
    folder, _, name = module.partition(".")
    own = ROOT / "tests" / folder / f"test_{name}.py"
    return str(own if own.exists() else own.parent)


def fate_of(mutant: Mutant, contracts: list[Contract]) -> str:
    """Who objects to a mutant, asked in a process of its own."""
    process = get_context("fork").Process(target=_ask, args=(mutant, contracts))
    process.start()
    process.join()
    return EXITS.get(process.exitcode or 0, f"exit code {process.exitcode}")


def _ask(mutant: Mutant, contracts: list[Contract]) -> None:
    # Of the processor, not of the clock: a busy machine gives the same answer.
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    mutant.function.__code__ = mutant.code
    for contract in contracts:
        if examine(contract, PATHS).refuted is not None:
            os._exit(3)
    arguments = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        tests_beside(mutant.function.__module__),
    ]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        is_killed = pytest.main(arguments) != pytest.ExitCode.OK
    os._exit(4 if is_killed else 1)


def fates_in(module: ModuleType, only: list[str], most: int) -> Iterator[tuple[str, dict[str, int]]]:
    """How the mutants of each function fared, and which survived unexplained."""
    by_function: dict[FunctionType, list[Contract]] = {}
    for contract in contracts_of(module):
        by_function.setdefault(contract.function, []).append(contract)
    for function in functions_of(module):
        name = f"{module.__name__}.{function.__qualname__}"
        mutants = list(mutants_of(function))
        if not mutants or (only and not {name, module.__name__} & set(only)):
            continue
        fates: dict[str, int] = {}
        for mutant in mutants[:: -(-len(mutants) // most)]:
            fate = fate_of(mutant, by_function.get(function, []))
            if fate == NOBODY:
                reason = SURVIVORS.get(mutant.name)
                fate = NOBODY if reason is None else "explained"
                print(f"SURVIVES {mutant.name}: {reason}", flush=True)
            fates[fate] = fates.get(fate, 0) + 1
        print(f"{name}: {fates}", flush=True)
        yield name, fates


def main() -> int:
    """Mutate, ask, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "only", nargs="*", help="modules or functions, such as spec.hits; all, if none is given"
    )
    parser.add_argument(
        "--most", type=int, default=sys.maxsize, help="so many mutants a function, spread over it"
    )
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    kept: dict[str, dict[str, int]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    unexplained = 0
    for package in (spec, invariants):
        for info in iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{info.name}")
            for name, fates in fates_in(module, options.only, options.most):
                unexplained += fates.get(NOBODY, 0)
                kept[name] = fates
                if options.write:
                    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    print(f"{unexplained} survive without a reason")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
