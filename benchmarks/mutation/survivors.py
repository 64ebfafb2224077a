"""Why a mutant that lives cannot be told from the manager: what `equivalent.toml` says of it."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bounds import is_early
from found import Change

EARLY = (
    "the bound comes out too early at the most: a short way is not taken, and the long way decides the same; "
    "`bounds.py` tries it for all small numbers"
)


class Equivalent(NamedTuple):
    """Mutants of a line, by patterns, and why nothing tells them."""

    module: str
    before: str
    after: str
    why: str

    def speaks_of(self, change: Change) -> bool:
        """Whether this is one of them."""
        return (
            self.module in change.module
            and re.fullmatch(self.before, change.before) is not None
            and re.fullmatch(self.after, change.after) is not None
        )


@cache
def equivalent() -> tuple[Equivalent, ...]:
    """All that are known."""
    told = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text("utf-8"))
    return tuple(
        Equivalent(one["module"], one["before"], one["after"], told["reasons"].get(one["why"], one["why"]))
        for one in told["equivalent"]
    )


def reason_for(change: Change) -> str:
    """Why this cannot be told from the module as it was, '' if nobody knows."""
    if is_early(change):
        return EARLY
    return next((one.why for one in equivalent() if one.speaks_of(change)), "")
