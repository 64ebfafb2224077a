"""What `make prove` prints a line of: a statement, the tool that decides it, and how far the answer reaches."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Reach(Enum):
    """How much an answer says, from most to least."""

    PROVED = "proved for all sizes"
    CONFIRMED = "confirmed over all paths"
    EXHAUSTED = "exhausted up to a bound"
    OPEN = "no counterexample within a stated effort"
    REFUTED = "REFUTED"


@dataclass(frozen=True)
class Verdict:
    """A tool's answer. `detail` is the bound, the effort and why it ended there, or the counterexample.

    `wrong` tells of the wrong variant, and is None where a statement has none.
    """

    reach: Reach
    detail: str = ""
    wrong: str | None = None
    wrong_is_refuted: bool = True

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against the statement, and its wrong variant fell."""
        return self.reach is not Reach.REFUTED and self.wrong_is_refuted


@dataclass(frozen=True)
class Statement:
    """What is said, by which rules, and who decides it."""

    text: str
    rules: tuple[str, ...]
    tool: str
    decide: Callable[[], Verdict]
