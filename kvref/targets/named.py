"""A target as a person names it on the command line: by its name, or by the command that runs a driver."""

import shlex
from pathlib import Path

import msgspec

from kvref.errors import UserError
from kvref.targets.base import Target
from kvref.targets.process import ProcessTarget
from kvref.targets.process_link import ANSWER_SECONDS
from kvref.targets.process_messages import Level as DriverLevel
from kvref.targets.registry import Tell, open_target


class Named(msgspec.Struct, frozen=True):
    """The target called `name`, or the driver that `command` runs, which may take `seconds` for an answer."""

    name: str
    command: str | None = None
    python: Path | None = None
    seconds: float = ANSWER_SECONDS

    @property
    def options(self) -> str:
        """As it is given on the command line."""
        return (
            f"--target {self.name}" if self.command is None else f"--target-cmd {shlex.quote(self.command)}"
        )

    def open(self, level: str, tell: Tell) -> Target:
        """Open the target. Raises UserError if it cannot be had, or does not offer the level."""
        if not self.seconds > 0:
            raise UserError(f"--timeout {self.seconds} is not positive: give at least 1")
        if self.command is None:
            return open_target(self.name, python=self.python, tell=tell)
        if self.python is not None:
            raise UserError("--python is for targets by name: --target-cmd runs its command as it is")
        if level == "invariants":
            raise UserError(
                "the invariants of a driver are checked with its data: use --level safe --witnessed 1"
            )
        return ProcessTarget(self.command, msgspec.convert(level, DriverLevel), answer_seconds=self.seconds)
