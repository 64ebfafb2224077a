"""What a trace shows on an implementation under test, and when two traces show the same.

A level of conformance is one module: `shows_exact`, `shows_invariants`, `shows_safe`. Each plays a trace
as far as a scheduler may go on with it, up to what is wrong, and says whether that is what another
trace has shown.
"""

import re
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple, Protocol

from kvref.compare import Difference
from kvref.operations import NewRequest, Operation, Trace

NONE = "-"
"""How a difference writes what is not there."""


class Shown(NamedTuple):
    """A trace as it was performed, what is wrong behind its last operation, and as what that is known."""

    trace: Trace
    differences: tuple[Difference, ...] = ()
    known: str | None = None

    @property
    def operation(self) -> Operation | None:
        """The operation that shows it; None at construction."""
        return self.trace.operations[-1] if self.trace.operations else None


class Shows(Protocol):
    """Plays traces at one level, on one implementation."""

    def play(self, trace: Trace) -> Shown:
        """Play a trace as far as it is legal, up to what is wrong."""

    def is_same(self, first: Shown, other: Shown) -> bool:
        """Whether the other trace shows what the first one does."""


def names_of(trace: Trace) -> set[str]:
    """The requests of a trace."""
    return {operation.request for operation in trace.operations if isinstance(operation, NewRequest)}


def bare(text: str, names: Collection[str]) -> str:
    """What remains of a text without the names of requests and without numbers."""
    words = re.split(r"(\W+)", text)
    return re.sub(r"\d+", "#", "".join("#" if word in names else word for word in words))


def relation(difference: Difference, names: Collection[str]) -> str:
    """How what was shown relates to what was expected: more or less of a number, another order of a list."""
    expected, actual = difference.expected, difference.actual
    if NONE in (expected, actual):
        return "none" if actual == NONE else f"not none: {_kind(actual, names)}"
    if expected.startswith("["):
        words = [Counter(re.findall(r"[\w.…-]+", text)) for text in (expected, actual)]
        return "order" if words[0] == words[1] else "content"
    try:
        return "more" if float(actual) > float(expected) else "less"
    except ValueError:
        return _kind(actual, names)


def _kind(text: str, names: Collection[str]) -> str:
    """A text without what changes from trace to trace: a list's entries, a key's digits."""
    if text.startswith("["):
        return "list"
    return "key" if "…" in text else bare(text, names)
