"""Runs CrossHair on one contract, so that the answer depends on nothing but the contract and the effort.

Effort is a number of paths and, for each question to z3, of its own steps: no clock. A function has two
places where an order could depend on memory addresses; both are mended here. Import this module only in a
process that was started with the environment of `ENVIRONMENT`.
"""

import inspect
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

from tools.prove.environment import ENVIRONMENT

os.environ.update(ENVIRONMENT)

from crosshair import dynamic_typing, type_repo
from crosshair.condition_parser import (
    POSTCONDITION,
    PRECONDITION,
    Conditions,
    condition_from_source_text,
    condition_parser,
)
from crosshair.core import ConditionCheckable
from crosshair.core_and_libs import AnalysisKind, MessageType
from crosshair.fnutil import FunctionInfo
from crosshair.libimpl.builtinslib import SymbolicRange
from crosshair.options import DEFAULT_OPTIONS, AnalysisOptionSet

RULE = re.compile(r"\b(?:[A-Z]+-\d+)\b")


def origin_behind_newtypes(kind: Any, origin: Callable[[Any], Any] = dynamic_typing.origin_of) -> Any:
    """CrossHair 0.0.112 asks `issubclass` of a `NewType` inside generic types, as in `Sequence[BlockId]`."""
    return origin(getattr(kind, "__supertype__", kind))


setattr(dynamic_typing, "origin_of", origin_behind_newtypes)  # noqa: B010 - another one's module
# A range's truth was left symbolic, which Python does not take.
setattr(SymbolicRange, "__bool__", lambda self: bool(self.__len__() > 0))  # noqa: B010 - mypy lets no method be assigned


def note_subclasses() -> None:
    """Have subclasses tried in the order of their names: CrossHair keeps them in a set."""
    type_repo.rebuild_subclass_map()  # type: ignore[no-untyped-call] # CrossHair's own
    for subclasses in type_repo.get_subclass_map().values():
        subclasses.sort(key=lambda one: (one.__module__, one.__qualname__))


@dataclass(frozen=True)
class Examined:
    """What CrossHair says: `refuted` by this counterexample, or `confirmed` or not, over so many paths."""

    refuted: str | None
    confirmed: bool
    paths: int


@dataclass(frozen=True)
class Contract:
    """One function, or one method of one class that can be made, with its pre- and postconditions."""

    name: str
    function: FunctionType
    conditions: Conditions


def contracts_of(module: ModuleType) -> Iterator[Contract]:
    """The contracts of a module's public functions, a method's once for each class that has it."""
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    with condition_parser([AnalysisKind.PEP316]) as parser:
        for value in own:
            if inspect.isfunction(value) and not value.__name__.startswith("_"):
                conditions = parser.get_fn_conditions(FunctionInfo.from_fn(value))
                if conditions is not None and conditions.post:
                    yield Contract(value.__qualname__, value, conditions)
            elif inspect.isclass(value) and not inspect.isabstract(value):
                methods = parser.get_class_conditions(value).methods
                for name in sorted(name for name in methods if not name.startswith("_")):
                    conditions = methods[name]
                    # What a class promises of its own fields holds of frozen values once they are made.
                    said = [post for post in conditions.post if post.condition_type is POSTCONDITION]
                    if said and isinstance(conditions.fn, FunctionType):
                        kept = replace(conditions, post=said)
                        yield Contract(f"{value.__name__}.{name}", conditions.fn, kept)


def contract_of(function: Callable[..., object]) -> Contract:
    """The contract of a function."""
    with condition_parser([AnalysisKind.PEP316]) as parser:
        conditions = parser.get_fn_conditions(FunctionInfo.from_fn(function))
    if conditions is None or not conditions.post or not isinstance(function, FunctionType):
        raise ValueError(f"{function} has no postcondition")
    return Contract(function.__qualname__, function, conditions)


def bounded(contract: Contract, bound: str) -> Contract:
    """The same contract with one more precondition: a smaller statement."""
    conditions = contract.conditions
    more = condition_from_source_text(PRECONDITION, "", 0, bound, contract.function.__globals__)
    return replace(contract, conditions=replace(conditions, pre=[*conditions.pre, more]))


def examine(contract: Contract, paths: int) -> Examined:
    """Look at each postcondition for itself, over at most so many paths; the first that fails ends it."""
    note_subclasses()
    most, confirmed = 0, True
    for post in contract.conditions.post:
        stats: Counter[str] = Counter()
        options = DEFAULT_OPTIONS.overlay(
            AnalysisOptionSet(
                analysis_kind=[AnalysisKind.PEP316],
                max_iterations=paths,
                max_uninteresting_iterations=0,
                per_path_timeout=float("inf"),
                report_all=True,
                stats=stats,
            )
        )
        one = replace(contract.conditions, post=[post])
        info = FunctionInfo.from_fn(contract.function)
        messages = list(ConditionCheckable(info, options, one).analyze())
        most = max(most, stats["num_paths"])
        for message in messages:
            if message.state not in (MessageType.CONFIRMED, MessageType.CANNOT_CONFIRM):
                return Examined(message.message, confirmed=False, paths=most)
        confirmed = confirmed and [message.state for message in messages] == [MessageType.CONFIRMED]
    return Examined(None, confirmed, most)
