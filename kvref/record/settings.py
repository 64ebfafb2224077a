"""How an engine is recorded, as environment variables tell it: the command sets them, the engine reads them."""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Final, Literal, get_args

import msgspec

from kvref.errors import UserError
from kvref.operations import Configuration
from kvref.record.entries import Content, Header
from kvref.record.file import File
from kvref.record.follower import Follower
from kvref.record.shadow import SUMMARY, Level, Summary
from kvref.record.writer import Writer

RECORD: Final = "KVREF_RECORD"
"""The path of the recording: its being set switches recording on."""

TOKENS: Final = "KVREF_RECORD_TOKENS"
CALLS_ONLY: Final = "KVREF_RECORD_CALLS_ONLY"
SNAPSHOTS: Final = "KVREF_RECORD_SNAPSHOTS"
MEGABYTES: Final = "KVREF_RECORD_MEGABYTES"
PARTS: Final = "KVREF_RECORD_PARTS"


@dataclass(frozen=True)
class Settings:
    """`snapshots` is every how many steps the state is noted.

    A part takes about `megabytes`, and the newest `parts` are kept.
    """

    path: Path
    tokens: Content = "hash"
    blocks: bool = True
    snapshots: int | None = None
    megabytes: float | None = None
    parts: int = 1

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "Settings":
        """What the variables say. Raises UserError for what makes no sense."""
        tokens = variables.get(TOKENS, "hash")
        if tokens not in get_args(Content):
            raise UserError(f"{TOKENS}={tokens}: use one of {', '.join(get_args(Content))}")
        return cls(
            Path(variables[RECORD]),
            tokens,  # type: ignore[arg-type] # one of them, as was seen
            variables.get(CALLS_ONLY, "0") in ("", "0"),
            _count(variables, SNAPSHOTS),
            _number(variables, MEGABYTES),
            _count(variables, PARTS) or 1,
        ).checked()

    def checked(self) -> "Settings":
        """These, if they make sense together. Raises UserError."""
        if self.parts > 1 and self.megabytes is None:
            raise UserError("--parts is how many files are kept: give their size with --megabytes")
        if self.parts > 1 and self.tokens != "hash":
            raise UserError(
                f"--tokens {self.tokens} cannot be kept in parts: a later one begins in the middle, where a block is "
                "known by its hash alone. Leave out --tokens, or --parts"
            )
        return self

    def variables(self) -> dict[str, str]:
        """The same as variables."""
        told = {RECORD: str(self.path.absolute()), TOKENS: self.tokens, PARTS: str(self.parts)}
        told[CALLS_ONLY] = "0" if self.blocks else "1"
        if self.snapshots is not None:
            told[SNAPSHOTS] = str(self.snapshots)
        if self.megabytes is not None:
            told[MEGABYTES] = str(self.megabytes)
        return told

    def writer(
        self,
        configuration: Configuration,
        engine: str,
        tell: Callable[[str], None],
        resume: Callable[[], None] = lambda: None,
    ) -> Writer:
        """What writes an engine's recording. Raises OSError."""
        header = Header(configuration, engine, self.tokens, self.blocks, secrets.token_hex(8))
        most = None if self.megabytes is None else int(self.megabytes * 1_000_000)
        path = free_path(self.path)
        file = File(path, header, most, self.parts, resume)
        tell(f"kvref: recording to {path}")
        return Writer(file, tell)


SHADOW: Final = "KVREF_SHADOW"
"""The folder of a shadow's reports: its being set switches the shadow on."""

LEVEL: Final = "KVREF_SHADOW_LEVEL"
EVERY: Final = "KVREF_SHADOW_EVERY"
ON_DIFFERENCE: Final = "KVREF_SHADOW_ON_DIFFERENCE"
KNOWN: Final = "KVREF_SHADOW_KNOWN"

OnDifference = Literal["continue", "stop"]


@dataclass(frozen=True)
class ShadowSettings:
    """How an engine is followed: states are compared at the beginning of every so many steps.

    `known` are files of intended differences.
    """

    folder: Path
    level: Level = "exact"
    every: int = 100
    on_difference: OnDifference = "continue"
    known: tuple[Path, ...] = ()

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> "ShadowSettings":
        """What the variables say. Raises UserError for what makes no sense."""
        level, then = variables.get(LEVEL, "exact"), variables.get(ON_DIFFERENCE, "continue")
        for told, name, offered in ((level, LEVEL, Level), (then, ON_DIFFERENCE, OnDifference)):
            if told not in get_args(offered):
                raise UserError(f"{name}={told}: use one of {', '.join(get_args(offered))}")
        every = _count(variables, EVERY) or 100
        known = tuple(Path(one) for one in variables.get(KNOWN, "").split(os.pathsep) if one)
        return cls(Path(variables[SHADOW]), level, every, then, known)  # type: ignore[arg-type] # as was seen

    def variables(self) -> dict[str, str]:
        """The same as variables."""
        return {
            SHADOW: str(self.folder.absolute()),
            LEVEL: self.level,
            EVERY: str(self.every),
            ON_DIFFERENCE: self.on_difference,
            KNOWN: os.pathsep.join(str(one.absolute()) for one in self.known),
        }

    def writer(
        self,
        configuration: Configuration,
        engine: str,
        tell: Callable[[str], None],
        resume: Callable[[], None],
        process: str,
    ) -> Writer:
        """What tells a shadow of an engine, a process that runs a module. Raises OSError."""
        folder = _numbered(self.folder, len(shadows_at(self.folder)) + 1)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMMARY).write_bytes(msgspec.json.encode(Summary()))
        header = Header(configuration, engine, "hash", blocks=True)
        words = (str(folder), self.level, self.on_difference, *map(str, self.known))
        follower = Follower(header, (sys.executable, "-m", process, *words), resume)
        tell(f"kvref: followed at level {self.level}, reports go to {folder}")
        return Writer(follower, tell)


def free_path(path: Path) -> Path:
    """A path where nothing is: an engine of several processes has several managers, each with its recording."""
    return _numbered(path, len(recordings_at(path)) + 1)


def _number(variables: Mapping[str, str], name: str) -> float | None:
    told = variables.get(name)
    if not told:
        return None
    try:
        number = float(told)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UserError(f"{name}={told} is no positive number")
    return number


def _count(variables: Mapping[str, str], name: str) -> int | None:
    number = _number(variables, name)
    if number is not None and not number.is_integer():
        raise UserError(f"{name}={number} is no whole number")
    return None if number is None else int(number)


def recordings_at(path: Path) -> list[Path]:
    """The recordings that were made for this path, in order."""
    return list(takewhile(Path.exists, (_numbered(path, number) for number in count(1))))


def shadows_at(folder: Path) -> list[Path]:
    """The folders that were made for this one, in order: one an engine."""
    folders = (_numbered(folder, number) for number in count(1))
    return list(takewhile(lambda one: (one / SUMMARY).exists(), folders))


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
