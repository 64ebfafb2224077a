"""The forms of the optimized manager: its sources as they are, and compiled where that has been built."""

from pathlib import Path

import pytest

import kvref.optimized
from kvref.errors import UserError
from kvref.targets.optimized import OptimizedSession, compiled_session

PURE, COMPILED = "optimized", "compiled"
SOURCES = Path(kvref.optimized.__file__).parent


def is_built() -> bool:
    """Whether the compiled form is there, and no older than its sources."""
    try:
        compiled_session()
    except UserError:
        return False
    [library] = (SOURCES.parent / "compiled").glob("native__mypyc*")
    return library.stat().st_mtime > max(source.stat().st_mtime for source in SOURCES.glob("*.py"))


FORMS = [
    PURE,
    pytest.param(
        COMPILED,
        marks=pytest.mark.skipif(not is_built(), reason="make compile has not been run (since)"),
    ),
]


def session_class(form: str) -> type[OptimizedSession]:
    """The session over this form."""
    return OptimizedSession if form == PURE else compiled_session()
