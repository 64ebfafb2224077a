"""What happened on a trace, as plain data: every step, both sides where they differ, and the rules."""

from dataclasses import dataclass
from typing import Literal

from invariants import Violation
from invariants.view import View
from kvref.compare import Difference
from kvref.errors import UserError
from kvref.events import KVCacheEvent
from kvref.explain.pool import Contents
from kvref.explain.rules import Known, Rule
from kvref.explain.sentences import counted
from kvref.operations import Observation, Operation, Trace
from kvref.witness import untouched

Level = Literal["exact", "safe"]


@dataclass(frozen=True)
class Seen:
    """What one side showed at a step: no `observation` is no answer, no `view` a state that is not pictured."""

    observation: Observation | None
    view: View | None

    @property
    def events(self) -> tuple[KVCacheEvent, ...]:
        """What it told a consumer of events."""
        return () if self.observation is None else self.observation.events

    @property
    def named(self) -> frozenset[int]:
        """The blocks that its answer names."""
        blocks = () if self.observation is None else self.observation.blocks or ()
        return frozenset(block for row in blocks for block in row if block)


@dataclass(frozen=True)
class Step:
    """One operation. `line` is its place in the trace, None if it was asked besides.

    `seen` is what the story's teller showed, and the reference, too, unless `expected` is given.
    """

    line: int | None
    operation: Operation
    seen: Seen
    expected: Seen | None = None
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True)
class Wrong:
    """What is wrong, and the rules that it is about.

    `at` is the place among the steps that shows it; None if that is the construction, or the end of the
    trace. `known` is the catalogued deviation that it is. `blocks` are those that a misread names.
    """

    differences: tuple[Difference, ...]
    at: int | None
    rules: tuple[Rule, ...]
    known: Known | None = None
    blocks: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Story:
    """A trace on a target, up to what is wrong; `untold` operations follow.

    `refused` tells why the reference, and why the target cannot be constructed. `teller` is whose steps
    these are, where the two sides do not share them.
    """

    name: str
    trace: Trace
    target: str
    level: Level
    steps: tuple[Step, ...]
    contents: Contents
    wrong: Wrong | None = None
    refused: tuple[str | None, str | None] = (None, None)
    teller: str | None = None

    @property
    def initial(self) -> View:
        """The pool before the first step."""
        return untouched(self.trace.configuration)

    def before(self, at: int) -> View | None:
        """The pool before a step, None if it cannot be pictured."""
        return self.steps[at - 1].seen.view if at else self.initial

    def between(self, first: int | None, last: int | None) -> range:
        """The steps of the operations from `first` to `last`, both included; None is the end itself.

        Raises UserError if the story has none of them.
        """
        lines: list[int] = []
        for step in self.steps:
            lines.append(lines[-1] if step.line is None else step.line)
        chosen = [
            at
            for at, line in enumerate(lines)
            if (first is None or first <= line) and (last is None or line <= last)
        ]
        if not chosen and self.steps:
            raise UserError(f"{self.name} is told up to operation {lines[-1]}: give a lower --from")
        return range(chosen[0], chosen[-1] + 1) if chosen else range(0)

    @property
    def untold(self) -> int:
        """How many operations of the trace are not told."""
        return len(self.trace.operations) - sum(step.line is not None for step in self.steps)

    @property
    def sides(self) -> tuple[str, str]:
        """What the two columns of a comparison are called: what is due, and what was shown."""
        return ("due" if self.level == "safe" else "reference", self.target)

    @property
    def headline(self) -> str:
        """How it ended, in a sentence."""
        operations = counted(len(self.trace.operations), "operation")
        if self.level == "safe":
            if self.wrong is None:
                return f"{self.target}: nothing is wrong in {operations}"
            return f"{self.target} is wrong {self._where('when nothing follows')}"
        if all(self.refused):
            return f"{self.target} and the reference refuse this configuration"
        if self.wrong is None:
            return f"{self.target} agrees with the reference in {operations}"
        return f"{self.target} differs from the reference {self._where('in the construction')}"

    def _where(self, otherwise: str) -> str:
        if self.wrong is None or self.wrong.at is None:
            return otherwise
        return f"at operation {self.steps[self.wrong.at].line}"
