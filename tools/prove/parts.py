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
from tools.prove.lemma import LEMMAS
from tools.prove.statement import Statement, Verdict

PATHS, PATHS_IN_LONG = 30, 100
"""CrossHair's paths for a condition that has no last one."""

THEOREMS, EQUIVALENCES, STATES = "spec.proofs", "tools.prove.same_arithmetic", "kvref.check"


@dataclass(frozen=True)
class Row:
    """A line of the table. `seconds` are of the processor."""

    part: str
    statement: str
    rules: tuple[str, ...]
    tool: str
    verdict: Verdict
    seconds: float


def parts(*, is_long: bool) -> list[str]:
    """The parts in the table's order. The long ones are those that more effort tells more about."""
    chapters = [
        f"{package.__name__}.{module.name}"
        for package in (spec, invariants)
        for module in iter_modules(package.__path__)
        if not module.ispkg
    ]
    if is_long:
        endless = import_module("tools.prove.contracts").without_last_path
        return [f"{chapter} {name}" for chapter in chapters for name in endless(import_module(chapter))]
    states = [f"{STATES} {name}" for name in import_module("kvref.check.configurations").FAST]
    return [THEOREMS, *chapters, *LEMMAS, EQUIVALENCES, *states]


def rows(parts: list[str], *, is_long: bool, workers: int) -> Iterator[Row]:
    """The rows of these parts, as they are decided; those of one part in order."""
    os.environ.update(ENVIRONMENT)
    context = get_context("spawn")
    with context.Pool(workers, maxtasksperchild=1) as pool:
        for part in pool.imap_unordered(_decide, [(part, is_long) for part in parts], chunksize=1):
            yield from part


def _decide(task: tuple[str, bool]) -> list[Row]:
    part, is_long = task
    decided = []
    for statement in _statements(part, is_long=is_long):
        began = time.process_time()
        verdict = statement.decide()
        seconds = time.process_time() - began
        decided.append(Row(part, statement.text, statement.rules, statement.tool, verdict, seconds))
    return decided


def _statements(part: str, *, is_long: bool) -> Iterator[Statement]:
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
        elif part in LEMMAS:
            found = contracts.lemma_statements(import_module(part))
        else:
            paths = PATHS_IN_LONG if is_long else PATHS
            found = contracts.contract_statements(import_module(module), paths, name)
    return found
