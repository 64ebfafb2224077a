"""The table in parts, each decided in a process of its own: what one part did cannot change another's answer."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pkgutil import iter_modules

import invariants
import spec
from tools.prove.environment import ENVIRONMENT
from tools.prove.statement import Statement, Verdict

PATHS, PATHS_IN_LONG = 30, 300
"""CrossHair's paths for a condition that has no last one."""

THEOREMS, EQUIVALENCES, STATES = "spec.proofs", "tools.prove.same_arithmetic", "kvref.check"
SMALLER = ("tools.prove.lemmas", "tools.prove.plain_invariants")


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    statement: str
    rules: tuple[str, ...]
    tool: str
    verdict: Verdict
    seconds: float


def parts(*, is_long: bool) -> list[str]:
    """The parts in the table's order."""
    chapters = [
        f"{package.__name__}.{module.name}"
        for package in (spec, invariants)
        for module in iter_modules(package.__path__)
        if not module.ispkg
    ]
    configurations = import_module("tools.prove.states").names(is_long=is_long)
    return [THEOREMS, *chapters, *SMALLER, EQUIVALENCES, *[f"{STATES} {name}" for name in configurations]]


def rows(parts: list[str], *, is_long: bool, workers: int) -> Iterator[Row]:
    """The rows of these parts, in order."""
    os.environ.update(ENVIRONMENT)
    context = get_context("spawn")
    with context.Pool(workers, maxtasksperchild=1) as pool:
        for part in pool.imap(_decide, [(part, is_long) for part in parts], chunksize=1):
            yield from part


def _decide(task: tuple[str, bool]) -> list[Row]:
    part, is_long = task
    decided = []
    for statement in _statements(part, PATHS_IN_LONG if is_long else PATHS):
        began = time.process_time()
        verdict = statement.decide()
        seconds = time.process_time() - began
        decided.append(Row(statement.text, statement.rules, statement.tool, verdict, seconds))
    return decided


def _statements(part: str, paths: int) -> Iterator[Statement]:
    """Tools are loaded where they are needed: CrossHair must find its environment, and takes a second."""
    module, _, name = part.partition(" ")
    found: Iterator[Statement]
    if part == THEOREMS:
        found = import_module("tools.prove.theorems").theorem_statements()
    elif module == STATES:
        found = import_module("tools.prove.states").state_statements(name)
    else:
        contracts = import_module("tools.prove.contracts")
        if part == EQUIVALENCES:
            found = contracts.equivalence_statements()
        elif part in SMALLER:
            found = contracts.smaller_statements(import_module(part))
        else:
            found = contracts.contract_statements(import_module(part), paths)
    return found
