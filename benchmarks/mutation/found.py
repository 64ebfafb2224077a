"""What is known of a mutant: what it changes, and how it went."""

from typing import NamedTuple

import msgspec


class Fate(NamedTuple):
    """What killed a mutant, None if nothing did, after so much of what was played; seconds are of a processor."""

    killer: str | None
    cases: int
    operations: int
    seconds: float

    def after(self, earlier: "Fate") -> "Fate":
        """The same, with what was played before."""
        return Fate(
            self.killer,
            earlier.cases + self.cases,
            earlier.operations + self.operations,
            earlier.seconds + self.seconds,
        )


class Change(msgspec.Struct, frozen=True):
    """The lines that a mutant changes, without their indentation, and the number of the first."""

    module: str
    line: int
    before: str
    after: str


class Found(msgspec.Struct, frozen=True):
    """A mutant, and how it went."""

    change: Change
    fate: Fate
