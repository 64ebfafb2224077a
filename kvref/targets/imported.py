"""A target by `module:attribute`: a manager of the user's, without an entry point."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from kvref.errors import UserError
from kvref.targets.base import Target
from kvref.targets.inprocess import InProcessTarget

MEMBERS = ("name", "catalogue", "cpu_seconds", "run", "picture", "close")


def import_target(text: str) -> Target:
    """The target that `module:attribute` names. Raises UserError if there is none."""
    module, _, attribute = text.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as absent:
        raise UserError(f"target {text}: {absent}. Give module:attribute, as it can be imported") from absent
    finally:
        sys.path.remove(here)
    return target_of(found, text)


def target_of(given: object, name: str) -> Target:
    """A target from what a user has: a target, a function that returns one, or what opens a manager.

    What opens a manager takes a `Configuration`, and returns a session. Raises UserError for anything else.
    """
    target: Any = given
    if callable(given) and not _is_target(given):
        needed = _needed_arguments(given)
        if needed == 1:
            return InProcessTarget(name, given)
        if needed == 0:
            target = given()
    if _is_target(target):
        checked: Target = target
        return checked
    raise UserError(
        f"target {name} is neither a target nor a function that returns one, nor does it open a manager "
        "of one Configuration"
    )


def _is_target(given: object) -> bool:
    return not isinstance(given, type) and all(hasattr(given, member) for member in MEMBERS)


def _needed_arguments(given: Callable[..., Any]) -> int | None:
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError):
        return None
    named = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(p.default is p.empty and p.kind not in named for p in parameters)
