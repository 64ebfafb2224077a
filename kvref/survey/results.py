"""What a survey has found, as it is kept in a file: a release that is done need not be done again."""

from pathlib import Path
from typing import Literal

import msgspec

from kvref.errors import UserError
from kvref.operations import Trace

Outcome = Literal["fault", "sound", "cannot be asked"]


class Unknown(msgspec.Struct, frozen=True):
    """A finding that the catalogue does not know, shrunk."""

    what: str
    expected: str
    actual: str
    trace: Trace


class Surveyed(msgspec.Struct, frozen=True):
    """One release.

    `by_feature` counts operations of cases that had a kind or feature, `by_pair` of those that had a kind
    and a feature, by both; `findings` counts cases by
    finding and `met` by finding the kinds and features of its shrunk traces. `replayed` is what became
    of each finding's own trace.
    """

    release: str
    seed: int
    cases: int
    operations: int
    slots_checked: int
    seconds: float
    by_feature: dict[str, int]
    by_pair: dict[str, dict[str, int]]
    lacking: dict[str, int]
    refused: dict[str, int]
    findings: dict[str, int]
    met: dict[str, list[str]]
    unknown: list[Unknown]
    replayed: dict[str, Outcome]


class Survey(msgspec.Struct, frozen=True):
    """All releases, in their order."""

    date: str
    operations: int
    seed: int
    releases: list[Surveyed]


def read(path: Path) -> Survey | None:
    """The survey in a file, None if there is none. Raises UserError if it is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Survey)
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise UserError(f"{path} cannot be read ({failure.strerror}): name another file") from failure
    except msgspec.MsgspecError as broken:
        raise UserError(f"{path} is not a survey: {broken}; remove it, or name another file") from broken
