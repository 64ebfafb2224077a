"""What a campaign does, and which share of its cases falls to whom.

Cases are numbered, and each follows from (seed, profile, number) alone. They are handed out in shards of
consecutive numbers: whoever runs a shard, here, in another process or on another machine, sees the same.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import Literal, NewType

import msgspec

from kvref.errors import UserError
from kvref.fuzz.cases import is_careful
from kvref.fuzz.configurations import Profile

Level = Literal["exact", "hits", "safe", "invariants"]
"""What a target is held to: see `kvref fuzz --help`."""

CaseNumber = NewType("CaseNumber", int)
ShardNumber = NewType("ShardNumber", int)

BATCH = 20
"""Cases a shard."""

WITNESSED = 10
"""The invariants are checked on one case in so many, unless more is asked for."""


FOLLOWED = 5
"""At level exact the data plane follows one careful case in so many, unless more is asked for."""


class Slice(msgspec.Struct, frozen=True):
    """One of `of` equal shares of a campaign's shards, counted from 1."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        """As it is given on the command line."""
        return f"{self.number}/{self.of}"

    @classmethod
    def parsed(cls, text: str) -> "Slice":
        """Read `3/16`. Raises UserError."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"--slice {text} is no share: give one like 3/16, from 1/16 to 16/16")
        return cls(int(match[1]), int(match[2]))


class Shard(msgspec.Struct, frozen=True):
    """So many consecutive cases."""

    number: ShardNumber
    first: CaseNumber
    cases: int

    def __iter__(self) -> Iterator[CaseNumber]:
        """The numbers of its cases."""
        return (CaseNumber(number) for number in range(self.first, self.first + self.cases))

    def __str__(self) -> str:
        """In words."""
        return f"cases {self.first} to {self.first + self.cases - 1}"


class Settings(msgspec.Struct, frozen=True):
    """What a campaign does. `cases` or `seconds` ends it; `length` is operations a case.

    `cases` counts those of all slices together. The invariants are checked on one case in `witnessed`: at
    level exact on the reference, whom a target that agrees has matched; at level safe on a target that
    shows its state; at level invariants on all. At level exact the data
    plane follows one careful case in `followed`. With `guidance` some cases have an aim.
    """

    seed: int
    cases: int | None
    seconds: float | None = None
    profile: Profile = "mixed"
    level: Level = "exact"
    length: int = 60
    first: int = 0
    witnessed: int = WITNESSED
    followed: int = FOLLOWED
    slice: Slice = Slice()
    guidance: bool = False

    def shards(self) -> Iterator[Shard]:
        """The slice's shards, in order; without end if only time ends the campaign."""
        for number in count():
            first = number * BATCH
            cases = BATCH if self.cases is None else min(BATCH, self.cases - first)
            if cases <= 0:
                return
            if number % self.slice.of == self.slice.number - 1:
                yield Shard(ShardNumber(number), CaseNumber(self.first + first), cases)

    def follows(self, number: int) -> bool:
        """Whether the data plane follows this case at level exact: a careful scheduler's, one in `followed`."""
        return is_careful(number) and number // 2 % self.followed == 0

    @property
    def plays_on_target(self) -> bool:
        """Whether cases are drawn on the target itself, with data behind its block ids."""
        return self.level in ("safe", "hits")

    @property
    def own_cases(self) -> int | None:
        """The cases of the slice; None if only time ends the campaign."""
        return None if self.cases is None else sum(shard.cases for shard in self.shards())
