"""Mutates every function that has a contract and all that invariants are made of: CrossHair or a test beside it must object.

A mutant changes one operator, comparison, constant or condition, returns a constant, or leaves out what it would
tell; what a message says is not changed. First its contract is examined over a few paths, then the lemmas
about it and about those that call it over all of theirs, then the tests of its module are run, then those of its package. What survives needs a reason in `SURVIVORS`; any other survivor ends with exit
code 1. `python benchmarks/contracts.py --write` keeps what came out in `docs/contracts.json`, and writes `docs/contracts.md`.
"""

import argparse
import ast
import inspect
import io
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import connection, get_context
from pathlib import Path
from pkgutil import iter_modules
from types import CodeType, FunctionType, ModuleType
from typing import cast

import pytest
from mutants import Replace, changes, own_nodes, statements

import invariants
import spec
from tools.prove import objections
from tools.prove.contracts import ENOUGH, lemmas_about, place_of
from tools.prove.objections import CROSSHAIR, ENDLESS, EXPLAINED, NOBODY, TEST
from tools.prove.symbolic import Contract, contract_of, contracts_of, examine

ROOT = Path(__file__).resolve().parent.parent

PATHS = 30
SECONDS = 300
EXITS = {3: CROSSHAIR, 4: TEST, -signal.SIGXCPU: ENDLESS}

ZERO = ("", "0", "False", "Tokens(0)")
"""What a function returns that returns 0 already."""

SURVIVORS: dict[str, str] = {
    "spec.retention.cacheable_tokens: if eagle and aligned > 0: -> if eagle and aligned > 1:": (
        "an aligned length of 1 means an alignment of 1, where all tokens are aligned"
    ),
    "invariants.content.shared_blocks_agree: if block == NULL_BLOCK or after.ref_counts[block] <= 1: -> if block == NULL_BLOCK and after.ref_counts[block] <= 1:": (
        "a block with one use is in no other table, which `entries` finds out, too, but later"
    ),
    "invariants.effects.difference: pairs = enumerate(zip(old, new, strict=True)) -> pairs = enumerate(zip(old, new, strict=False))": (
        "both are as long"
    ),
    "invariants.free_queue.free_iff_unused: queued[NULL_BLOCK] = wanted[NULL_BLOCK] = 0 -> queued[NULL_BLOCK] = wanted[NULL_BLOCK] = 1": (
        "both lists say the same of the null block"
    ),
    "invariants.hits.hit_holds_its_content: key = after.keys[block] if 0 <= block < len(after.keys) else None -> key = after.keys[block] if 0 < block < len(after.keys) else None": (
        "the null block was left out before"
    ),
    "invariants.hits.equal_specs_hit_alike: nulls = [block == NULL_BLOCK for block in blocks] -> nulls = [block != NULL_BLOCK for block in blocks]": (
        "where no block is null is the same exactly where the places of nulls are"
    ),
    "invariants.prefix_map._hex: return 'no key' if key is None else f'key {key.hex()}' -> return 0": (
        "it is only what a message says"
    ),
    "invariants.tables.one_group_a_block: if sum(map(len, held)) - len(held) == len(set().union(*held)) - 1: -> if sum(map(len, held)) - len(held) == len(set().union(*held)) - 2:": (
        "it only spares work: blocks are never fewer than in the union, so the long way is taken always"
    ),
    "invariants.tables.tables_hold_the_slots: for group, (table, own) in enumerate(zip(tables, history.setting.groups, strict=True)): -> for group, (table, own) in enumerate(zip(tables, history.setting.groups, strict=False)):": (
        "a picture with fewer tables is not looked at any closer"
    ),
    "invariants.history.RequestRecord.is_plain: return not (self.adapter is not None or self.salt or self.spans or (self.rows is not None)) -> return 0": (
        "it only spares work: what has no extras is numbered alike when they are looked for"
    ),
    "invariants.history.History.identity: if record is None or (index + 1) * size > len(record.tokens) or last >= len(record.contents): -> if record is None or (index - 1) * size > len(record.tokens) or last >= len(record.contents):": (
        "a block is a whole number of pieces, so the last condition says that all of its tokens are there"
    ),
}
"""Why nothing can object, by what `Mutant.name` says."""


Contracts = dict[FunctionType, list[tuple[Contract, int]]]
"""What is said of a function, and over how many paths it is asked."""


@dataclass(frozen=True)
class Mutant:
    """One function with one change."""

    function: FunctionType
    code: CodeType
    name: str


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions of a module of `spec` that have a contract; all functions of a module of `invariants`."""
    found = {contract.function: None for contract in contracts_of(module)}
    if module.__name__.startswith(invariants.__name__ + "."):
        found |= dict.fromkeys(written_in(module))
    for function in found:
        if function.__module__ == module.__name__ and not getattr(function, "__isabstractmethod__", False):
            yield function


def written_in(module: ModuleType) -> Iterator[FunctionType]:
    """What a module says by functions: those of its own, those behind decorators, and its classes' methods."""
    for value in vars(module).values():
        own = vars(value).values() if inspect.isclass(value) and value.__module__ == module.__name__ else ()
        for one in (value, *own):
            bare = getattr(one, "fget", None) or getattr(one, "predicate", None) or one
            function = inspect.unwrap(bare) if callable(bare) else None
            if isinstance(function, FunctionType) and function.__code__.co_filename == module.__file__:
                yield function


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
        name = f"{place_of(function)}: {before} -> {after}"
        yield Mutant(function, _inside(code, function.__code__), name)


def _changed(tree: ast.Module, function: FunctionType) -> Iterator[tuple[ast.stmt, ast.AST, ast.AST]]:
    first = function.__code__.co_firstlineno
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and first in (
            node.lineno,
            *(d.lineno for d in node.decorator_list),
        ):
            seen: set[ast.AST] = set()
            # The innermost first: a change belongs to the smallest statement around it.
            for statement in reversed(list(statements(ast.Module([node], [])))):
                for old, new in _changes_of(statement):
                    if old not in seen:
                        yield statement, old, new
                seen.update(own_nodes(statement))


def _changes_of(statement: ast.stmt) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Yield | ast.YieldFrom):
        yield statement.value, ast.YieldFrom(ast.Tuple([], ast.Load()))
        return
    if isinstance(statement, ast.Return) and ast.unparse(statement)[7:] not in ZERO:
        assert statement.value is not None  # noqa: S101 - else it is among them
        yield statement.value, ast.Constant(value=0)
    for old in own_nodes(statement):
        yield from ((old, new) for new in changes(old))


def _inside(code: CodeType, like: CodeType) -> CodeType:
    """The function's code in its module's."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if (constant.co_qualname, constant.co_firstlineno) == (like.co_qualname, like.co_firstlineno):
                return constant
            if like.co_qualname.startswith(constant.co_qualname + "."):
                return _inside(constant, like)
    raise LookupError(like.co_qualname)


def tests_beside(module: str) -> list[str]:
    """The tests of a module: the file that mirrors it if there is one, then all of its folder."""
    folder, _, name = module.partition(".")
    own = ROOT / "tests" / folder / f"test_{name}.py"
    return [str(path) for path in (own, own.parent) if path.exists()]


def statements_about(function: FunctionType) -> Iterator[Callable[..., bool]]:
    """What lemmas state of a function or, in `invariants`, of those that call it, its own first."""
    asked, told = [function], set[Callable[..., bool]]()
    for one in asked:
        for lemma in lemmas_about(place_of(one)):
            if lemma.holds not in told:
                told.add(lemma.holds)
                yield lemma.holds
        asked += [caller for caller in CALLERS.get(one.__name__, ()) if caller not in asked]


def _callers() -> dict[str, list[FunctionType]]:
    """The functions of `invariants` by what they call, or otherwise name."""
    callers: dict[str, list[FunctionType]] = {}
    for info in iter_modules(invariants.__path__):
        for function in written_in(import_module(f"{invariants.__name__}.{info.name}")):
            for name in function.__code__.co_names:
                callers.setdefault(name, []).append(function)
    return callers


CALLERS = _callers()


def fates_of(mutants: Sequence[Mutant], contracts: Contracts, workers: int) -> list[str]:
    """Who objects to each mutant, asked in a process of its own."""
    context = get_context("fork")
    asked = [context.Process(target=_ask, args=(one, contracts.get(one.function, []))) for one in mutants]
    running: set[int] = set()
    for process in asked:
        if len(running) >= workers:
            running -= {cast("int", done) for done in connection.wait(running)}
        process.start()
        running.add(process.sentinel)
    for process in asked:
        process.join()
    return [EXITS.get(process.exitcode or 0, NOBODY) for process in asked]


def _ask(mutant: Mutant, contracts: list[tuple[Contract, int]]) -> None:
    # Of the processor, not of the clock: a busy machine gives the same answer.
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    mutant.function.__code__ = mutant.code
    for contract, paths in contracts:
        if examine(contract, paths).refuted is not None:
            os._exit(3)
    # kvref is imported already, too late for its plugin.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    plain = ["-q", "-x", "-p", "no:cacheprovider"]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        ended = pytest.main([*plain, *tests_beside(mutant.function.__module__)])
    os._exit(4 if ended == pytest.ExitCode.TESTS_FAILED else 0)


def fates_in(module: ModuleType, only: list[str], most: int, workers: int) -> dict[str, dict[str, int]]:
    """By function, how its mutants fared; those that survive unexplained are told."""
    contracts: Contracts = {}
    for contract in contracts_of(module):
        contracts.setdefault(contract.function, []).append((contract, PATHS))
    for function in functions_of(module):
        smaller = [(contract_of(holds), ENOUGH) for holds in statements_about(function)]
        contracts.setdefault(function, []).extend(smaller)
    chosen: list[Mutant] = []
    for function in functions_of(module):
        mutants = list(mutants_of(function))
        if mutants and (not only or {place_of(function), module.__name__} & set(only)):
            chosen += mutants[:: -(-len(mutants) // most)]
    fates: dict[str, dict[str, int]] = {}
    for mutant, told in zip(chosen, fates_of(chosen, contracts, workers), strict=True):
        fate = told
        if fate == NOBODY:
            reason = SURVIVORS.get(mutant.name)
            fate = NOBODY if reason is None else EXPLAINED
            print(f"SURVIVES {mutant.name}: {reason}", flush=True)
        own = fates.setdefault(place_of(mutant.function), {})
        own[fate] = own.get(fate, 0) + 1
    for name, own in fates.items():
        print(f"{name}: {own}", flush=True)
    return fates


def main() -> int:
    """Mutate, ask, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "only", nargs="*", help="modules or functions, such as spec.hits; all, if none is given"
    )
    parser.add_argument(
        "--most", type=int, default=sys.maxsize, help="so many mutants a function, spread over it"
    )
    parser.add_argument("--workers", type=int, default=1, help="so many mutants at once")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    kept = objections.read()
    unexplained = 0
    for package in (spec, invariants):
        for info in iter_modules(package.__path__):
            module = import_module(f"{package.__name__}.{info.name}")
            fates = fates_in(module, options.only, options.most, options.workers)
            unexplained += sum(own.get(NOBODY, 0) for own in fates.values())
            kept |= fates
            if options.write and fates:
                objections.keep(kept)
    print(f"{unexplained} survive without a reason")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
