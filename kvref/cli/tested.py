"""The options by which a subcommand names its target."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kvref.cli.common import tell
from kvref.fuzz.hits import held
from kvref.fuzz.settings import Level
from kvref.targets.base import Target
from kvref.targets.named import Named
from kvref.targets.process_link import ANSWER_SECONDS
from kvref.targets.reference import ReferenceSession


@Parameter(name="*")
@dataclass(frozen=True)
class Tested:
    """What is tested."""

    target: Annotated[str, Parameter(help="What to test: see `kvref targets`.")] = "vllm==0.23.0"
    target_cmd: Annotated[
        str | None,
        Parameter(help="A command to test instead: a driver in any language, see docs/drivers.md."),
    ] = None
    python: Annotated[
        Path | None,
        Parameter(help="An interpreter that has the target, instead of an environment made for it."),
    ] = None
    timeout: Annotated[float, Parameter(help="How many seconds a driver may take for an answer.")] = (
        ANSWER_SECONDS
    )

    @property
    def named(self) -> Named:
        """The target, by its name or command."""
        return Named(self.target, self.target_cmd, self.python, self.timeout)

    def open(self, level: Level) -> Target:
        """Open the target. Raises UserError if it cannot be had, or does not offer the level."""
        return self.named.open(level, tell)


def as_asked(target: Target, level: Level) -> Target:
    """The target as it is asked at this level: at `hits` the reference follows, all else is as at `safe`."""
    return held(target, ReferenceSession) if level == "hits" else target
