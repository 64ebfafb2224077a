"""How things are chosen: all that a random draw asks, whoever answers.

`Seeded` answers from a seed, for campaigns; in `kvref.testing` Hypothesis answers, and makes what failed
smaller. What is listed first, a low number and False count as simpler.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol, TypeVar, final

T = TypeVar("T")


class Choices(Protocol):
    """Answers what a draw asks."""

    def chance(self, probability: float) -> bool:
        """True with this probability."""

    def choice(self, options: Sequence[T]) -> T:
        """One of the options; one that is listed twice is twice as likely."""

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, as likely as its weight among all weights."""

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """So many of the options, at different places."""

    def integer(self, low: int, high: int) -> int:
        """A number, both ends included."""

    def integers(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """So many numbers, both ends included."""

    def byte(self) -> bytes:
        """One byte."""


@final
class Seeded:
    """Equal seeds give equal answers, on every machine and in every release of Python.

    Numbers are made of random bits here, in the way that `random` does it now but does not promise.
    """

    def __init__(self, seed: str) -> None:
        generator = Random(seed)  # noqa: S311 - not for secrets
        self._random: Final = generator.random
        self._bits: Final = generator.getrandbits

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self._below(len(options))]

    def weighted(self, options: Sequence[T], weights: Sequence[float]) -> T:
        """One of the options, as likely as its weight among all weights."""
        left = self._random() * sum(weights)
        for option, weight in zip(options[:-1], weights[:-1], strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """So many of the options, at different places."""
        pool, chosen = list(options), []
        for _ in range(count):
            at = self._below(len(pool))
            chosen.append(pool[at])
            pool[at] = pool[-1]
            pool.pop()
        return chosen

    def integer(self, low: int, high: int) -> int:
        """A number, both ends included."""
        return low + self._below(high - low + 1)

    def integers(self, count: int, low: int, high: int) -> tuple[int, ...]:
        """So many numbers, both ends included."""
        width = high - low + 1
        return tuple([low + self._below(width) for _ in range(count)])

    def byte(self) -> bytes:
        """One byte."""
        return self._bits(8).to_bytes()

    def _below(self, bound: int) -> int:
        bits = bound.bit_length()
        number = self._bits(bits)
        while number >= bound:
            number = self._bits(bits)
        return number
