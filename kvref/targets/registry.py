"""Targets by name. Third parties add theirs with an entry point in the group `kvref.targets`.

An entry point is a function that takes what stands behind the name (`vllm==0.23.0` gives
`0.23.0`, `vllm` gives nothing), an interpreter to use instead of the usual one, and where to tell
progress; and returns a `Target`.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from kvref.errors import UserError
from kvref.targets.base import Target
from kvref.targets.imported import import_target

GROUP = "kvref.targets"

Tell = Callable[[str], None]


def names() -> list[str]:
    """All known targets."""
    return sorted(point.name for point in entry_points(group=GROUP))


def open_target(text: str, *, python: Path | None, tell: Tell) -> Target:
    """The target called `text`: `name`, `name==release` or `module:attribute`. Raises UserError if none is."""
    if ":" in text:
        return import_target(text)
    name, _, release = text.partition("==")
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        raise UserError(
            f"no target is called {name!r}: choose one of {', '.join(names())}, or module:attribute"
        )
    target: Target = points[0].load()(release or None, python, tell)
    return target
