"""Reads a user's own catalogue of intended differences: a Python file that defines `KNOWN`."""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from kvref.errors import UserError
from kvref.targets.deviations import Catalogue, Deviation, Verdict

_Seen = TypeVar("_Seen")
_TYPES = {
    "id": str,
    "rule": str,
    "releases": tuple,
    "verdict": Verdict,
    "title": str,
    "at_construction": bool,
}


def read_known(paths: Sequence[Path]) -> Catalogue:
    """The entries of all files, in order. Raises UserError, which says what is wrong, and where."""
    entries = [entry for path in paths for entry in _read(path)]
    names = [entry.id for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two entries of {', '.join(map(str, paths))} are called {twice}: rename one")
    return tuple(entries)


def _read(path: Path) -> list[Deviation]:
    try:
        code = compile(path.read_bytes(), str(path), "exec")
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name a Python file") from failure
    except (SyntaxError, ValueError) as broken:
        line = getattr(broken, "lineno", None)
        raise UserError(f"{path}{f' line {line}' if line else ''} is not Python: {broken}") from broken
    module = ModuleType(f"known_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look there for the module that they are in
    try:
        exec(code, vars(module))  # noqa: S102 - the user's own file
    except Exception as failure:
        raise UserError(f"{path} failed: {_told(failure, path)}") from failure
    known = getattr(module, "KNOWN", None)
    if not isinstance(known, tuple | list):
        what = "defines no KNOWN" if known is None else f"has a KNOWN of type {type(known).__name__}"
        raise UserError(f"{path} {what}: define KNOWN as a tuple of Deviation")
    return [_checked(path, place, entry) for place, entry in enumerate(known)]


def _checked(path: Path, place: int, entry: object) -> Deviation:
    """The entry, with recognisers that say where they fail."""
    if not isinstance(entry, Deviation):
        raise UserError(f"{path}: entry {place} of KNOWN is of type {type(entry).__name__}, not a Deviation")
    for name, wanted in _TYPES.items():
        if not isinstance(getattr(entry, name), wanted):
            told = type(getattr(entry, name)).__name__
            raise UserError(f"{path}: {name} of entry {place} is of type {told}, not {wanted.__name__}")
    for name in ("concerns", "recognises"):
        if not callable(getattr(entry, name)):
            raise UserError(f"{path}: {name} of {entry.id} is not a function")
    return replace(
        entry,
        concerns=_guarded(path, f"{entry.id}: concerns", entry.concerns),
        recognises=_guarded(path, f"{entry.id}: recognises", entry.recognises),
    )


def _guarded(path: Path, what: str, ask: Callable[[_Seen], bool]) -> Callable[[_Seen], bool]:
    def guarded(seen: _Seen) -> bool:
        try:
            answer = ask(seen)
        except UserError:
            raise
        except Exception as failure:
            raise UserError(f"{path}: {what} failed: {_told(failure, path)}") from failure
        if not isinstance(answer, bool):
            raise UserError(f"{path}: {what} returned a {type(answer).__name__}: return True or False")
        return answer

    return guarded


def _told(failure: Exception, path: Path) -> str:
    """The error, and the last line of the file that it came through."""
    frames = traceback.extract_tb(failure.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
    return f"{type(failure).__name__}: {failure}" + (f" (line {line})" if line else "")
