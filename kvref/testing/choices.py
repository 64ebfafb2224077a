"""Choices that Hypothesis makes: so it can make what failed smaller, and keep it."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final, TypeVar, final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

T = TypeVar("T")

PARTS = 1000
"""A probability is drawn as so many parts of one."""


FAR = 3 << 100
"""Numbers are drawn from here on: Hypothesis mixes in those that it reads in whatever sources are loaded, and
reads none so large. So a seed draws the same beside any other tests."""


@lru_cache(maxsize=4096)
def _below(count: int) -> SearchStrategy[int]:
    return st.integers(FAR, FAR + count - 1)


@final
class Drawn:
    """Answers from `draw`, for as long as its example is tried. What is simpler is what it shrinks towards."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw: Final = draw

    def chance(self, probability: float) -> bool:
        """True with this probability; False is simpler."""
        parts = round(PARTS * probability)
        if parts <= 0 or parts >= PARTS:
            return parts >= PARTS
        return self._number(PARTS) >= PARTS - parts

    def choice(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, as likely as its weight; the first one that has any is the simplest."""
        limits = [PARTS * reached / sum(weights) for reached in accumulate(weights)]
        return options[bisect_right(limits, self._number(PARTS), hi=len(options) - 1)]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """So many of the options, at different places; the first ones are the simplest."""
        left = list(options)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(count)]

    def integer(self, low: int, high: int) -> int:
        """A number, both ends included; the lowest is the simplest."""
        return low if low == high else low + self._number(high - low + 1)

    def integers(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """So many numbers that count up from a drawn one: what is long takes one draw, and reads well."""
        if count == 0:
            return ()
        start, width = self.integer(low, high) - low, high - low + 1
        return tuple([low + (start + step) % width for step in range(count)])

    def byte(self) -> bytes:
        """One byte."""
        return self.integer(0, 255).to_bytes()

    def _number(self, count: int) -> int:
        """One of so many, from 0 on."""
        return self._draw(_below(count)) - FAR


@st.composite
def drawn(draw: DrawFn) -> Drawn:
    """Choices for the rest of an example."""
    return Drawn(draw)
