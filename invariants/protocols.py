"""What an invariant is: an id, a statement, and a predicate that explains where it does not hold.

A predicate is written as a generator of messages, one for each place where it fails; the decorators
here give it its id and make it an invariant. Its docstring is the statement.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from invariants.history import History
from invariants.setting import Setting
from invariants.step import Step
from invariants.view import View, Violation

StatePredicate = Callable[[View, Setting], Iterator[str]]
StepPredicate = Callable[[View, Step, View, History], Iterator[str]]


class StateInvariant(Protocol):
    """What holds in every state."""

    @property
    def id(self) -> str:
        """A stable name."""

    @property
    def statement(self) -> str:
        """What must hold, in a sentence."""

    def __call__(self, view: View, setting: Setting, /) -> Iterable[Violation]:
        """Where it does not hold in `view`."""


class StepInvariant(Protocol):
    """What holds of every operation. `history` includes the step's own inputs and results."""

    @property
    def id(self) -> str:
        """A stable name."""

    @property
    def statement(self) -> str:
        """What must hold, in a sentence."""

    def __call__(self, before: View, step: Step, after: View, history: History, /) -> Iterable[Violation]:
        """Where it does not hold of `step`, which led from `before` to `after`."""


@dataclass(frozen=True, slots=True)
class _OfState:
    id: str
    statement: str
    predicate: StatePredicate

    def __call__(self, view: View, setting: Setting, /) -> list[Violation]:
        return [Violation(self.id, message) for message in self.predicate(view, setting)]


@dataclass(frozen=True, slots=True)
class _OfStep:
    id: str
    statement: str
    predicate: StepPredicate

    def __call__(self, before: View, step: Step, after: View, history: History, /) -> list[Violation]:
        return [Violation(self.id, message) for message in self.predicate(before, step, after, history)]


def state_invariant(name: str) -> Callable[[StatePredicate], StateInvariant]:
    """Make a predicate over a state the invariant called `name`."""
    return lambda predicate: _OfState(name, predicate.__doc__ or "", predicate)


def step_invariant(name: str) -> Callable[[StepPredicate], StepInvariant]:
    """Make a predicate over a step the invariant called `name`."""
    return lambda predicate: _OfStep(name, predicate.__doc__ or "", predicate)
