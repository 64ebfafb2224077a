"""Bounds that may come out too early: below one nothing is due, so that a lower one costs a look and no more.

Whether a changed bound is never above the true one is tried for all small numbers.
"""

from collections.abc import Iterator
from itertools import product
from types import CodeType, SimpleNamespace
from typing import Any

from found import Change

BOUNDS = (
    "end = (handled + 1) * self.block_size",
    "return -(-end // unit) * unit",
    "return max(end, unit, -(-(end - self.block_size) // unit) * unit)",
    "return length * self.block_size",
    "return (length - self.drafts) * self.block_size",
    "return (released + 1) * self.block_size + self._past",
    "return (released + 1) * self.block_size + 1 + self.drafts",
    "return -(-(released + 1) * self.block_size // self._chunk) * self._chunk",
    "self.quiet = min(self.grows_behind, self.releases_at, self.caches_at - 1)",
)
"""In `groups` and `tables`: when a table grows, releases or caches next."""

SIZES = range(1, 6)
ENTRIES = range(14)


def is_early(change: Change) -> bool:
    """Whether this makes one of the bounds earlier, or leaves it as it is, wherever it is asked for."""
    if change.before not in BOUNDS:
        return False
    try:
        before, after = (_formula(text) for text in (change.before, change.after))
        return all(_value(after, names) <= _value(before, names) for names in _numbers(change.before))
    except (ArithmeticError, NameError, SyntaxError, TypeError, ValueError):
        return False


def _formula(line: str) -> CodeType:
    formula = line.removeprefix("return").partition("=")[2] if " = " in line else line.removeprefix("return")
    return compile(formula.strip(), "a bound", "eval")


def _value(formula: CodeType, names: dict[str, Any]) -> Any:
    return eval(formula, {}, names)  # noqa: S307 - a line of ours, changed in one place


def _numbers(bound: str) -> Iterator[dict[str, Any]]:
    """What the names in a bound may stand for: spans are windows, chunks, or alignments in blocks."""
    for size, span, drafts, entries in product(SIZES, range(1, 21), range(4), ENTRIES):
        own = SimpleNamespace(
            block_size=size,
            drafts=drafts,
            _past=span,
            _chunk=span,
            grows_behind=span,
            releases_at=9,
            caches_at=entries + 1,
        )
        if "self.drafts" in bound and "length" in bound and entries < drafts:
            continue
        if "end - self.block_size" in bound and (entries % span > 1 or entries == 1 < span):
            continue  # Under EAGLE a table is cached up to a multiple of the alignment, or a block more.
        yield {
            "self": own,
            "released": entries,
            "handled": entries,
            "length": entries,
            "end": (entries + 1) * size,
            "unit": size * span,
        }
