"""What is tested: a manager that can be asked one operation at a time, and the reference beside it."""

from functools import cache

from kvref.errors import UserError
from kvref.fuzz.safe import SafeTarget
from kvref.targets.imported import target_of
from kvref.targets.registry import open_target

Given = object
"""A target, what opens one manager, a name of `kvref targets`, or `module:attribute`."""


def aim_at(given: Given) -> SafeTarget:
    """The target that was given. Raises UserError if it cannot be asked one operation at a time."""
    name = given if isinstance(given, str) else getattr(given, "__qualname__", type(given).__qualname__)
    target = (
        open_target(given, python=None, tell=_quiet) if isinstance(given, str) else target_of(given, name)
    )
    if not isinstance(target, SafeTarget):
        raise UserError(f"target {target.name} cannot be asked one operation at a time: use kvref fuzz")
    return target


@cache
def reference() -> SafeTarget:
    """The reference."""
    return aim_at("reference")


def _quiet(_: str) -> None:
    """Where tests run, nobody reads progress."""
