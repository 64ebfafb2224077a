"""What an invariant is: an id, a statement, and a predicate that explains where it does not hold.

A predicate is written as a generator of messages, one for each place where it fails; the decorators
here give it its id and make it an invariant. Its docstring is the statement.

An invariant also says what it looks at, so that it need not be asked where it holds trivially: a state
invariant while these parts of the view stay as they were when it was asked last, a step invariant of an
operation of another kind that left these parts as they were.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from invariants.history import History
from invariants.setting import Setting
from invariants.step import Action, Step
from invariants.view import Part, View, Violation

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

    @property
    def parts(self) -> frozenset[Part]:
        """The parts of a view that it looks at."""

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

    def concerns(self, action: type[Action], changed: Collection[Part]) -> bool:
        """Whether it may fail of an operation of this kind that changed these parts of the view."""

    def __call__(self, before: View, step: Step, after: View, history: History, /) -> Iterable[Violation]:
        """Where it does not hold of `step`, which led from `before` to `after`."""


@dataclass(frozen=True, slots=True)
class _OfState:
    id: str
    statement: str
    parts: frozenset[Part]
    predicate: StatePredicate

    def __call__(self, view: View, setting: Setting, /) -> list[Violation]:
        messages = [*self.predicate(view, setting)]
        return [Violation(self.id, message) for message in messages] if messages else []


@dataclass(frozen=True, slots=True)
class _OfStep:
    id: str
    statement: str
    actions: tuple[type[Action], ...] | None
    parts: frozenset[Part]
    predicate: StepPredicate

    def concerns(self, action: type[Action], changed: Collection[Part]) -> bool:
        return self.actions is None or action in self.actions or not self.parts.isdisjoint(changed)

    def __call__(self, before: View, step: Step, after: View, history: History, /) -> list[Violation]:
        messages = [*self.predicate(before, step, after, history)]
        return [Violation(self.id, message) for message in messages] if messages else []


def state_invariant(name: str, *parts: Part) -> Callable[[StatePredicate], StateInvariant]:
    """Make a predicate over these parts of a state the invariant called `name`."""
    return lambda predicate: _OfState(name, predicate.__doc__ or "", frozenset(parts), predicate)


def step_invariant(
    name: str, *parts: Part, of: tuple[type[Action], ...] | None = ()
) -> Callable[[StepPredicate], StepInvariant]:
    """Make a predicate over a step the invariant called `name`.

    It holds trivially of an operation that is none `of` these and changed none of the `parts`; `of` None
    means that it must be asked of all.
    """
    return lambda predicate: _OfStep(name, predicate.__doc__ or "", of, frozenset(parts), predicate)
