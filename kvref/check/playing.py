"""Two managers side by side under one scheduler, one move after another."""

from dataclasses import dataclass, field
from typing import NamedTuple

from kvref.check.image import Image
from kvref.check.moves import Leave, Move, Scope, operation_of
from kvref.compare import Difference, differences
from kvref.operations import (
    Allocate,
    AppendTokens,
    NewRequest,
    Observation,
    Operation,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.protocol import Scheduler
from kvref.targets.picture import Opener, Picture, Session
from kvref.targets.session import ApiSession
from kvref.witness import Witness


class Made(NamedTuple):
    """What came of a move: the operations, what the reference returned at the first, and what is wrong."""

    operations: list[Operation]
    observation: Observation
    wrong: list[Difference]


@dataclass
class Playing:
    """Two managers, and a scheduler's book over both. `texts` are the tokens of the requests that are there."""

    reference: Session
    subject: Session
    scheduler: Scheduler
    witness: Witness
    texts: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def image(self) -> Image:
        """All of this, to be put back."""
        return Image(self)

    def make(self, move: Move) -> Made:
        """Make a move, up to what is wrong.

        What the managers owe behind it is asked for at once, so that it need not be part of the state.
        """
        performed = [operation_of(move)]
        before = self.witness.last.stats
        observation, wrong = self.perform(performed[0])
        if not wrong and isinstance(move, Allocate):
            performed.append(TakeNewBlockIds())
            wrong = self._ask(performed[-1])
        if not wrong and self.witness.last.stats != before:
            performed.append(TakeStats())
            _, wrong = self.perform(performed[-1])
        if wrong:
            return Made(performed, observation, wrong)
        if isinstance(move, NewRequest):
            self.texts[move.request] = move.tokens
        elif isinstance(move, AppendTokens):
            self.texts[move.request] += move.tokens
        elif isinstance(move, Leave):
            self._forget(move.request)
        return Made(performed, observation, [])

    def perform(self, operation: Operation) -> tuple[Observation, list[Difference]]:
        """Have both managers perform an operation: what the reference returned, and what is wrong."""
        observation, view = self.reference.apply(operation), self.reference.view()
        try:
            shown, shown_view = self.subject.apply(operation), self.subject.view()
        except Exception as fault:  # noqa: BLE001 - whatever the manager raises
            raised = f"{type(fault).__name__}: {fault}".splitlines()[0]
            return observation, [Difference("the answer", "what the operation returns", raised)]
        wrong = (
            []
            if observation == shown and view == shown_view
            else differences(Picture(observation, view), Picture(shown, shown_view))
        )
        for broken in self.witness.sees(operation, observation, view):
            wrong.append(Difference(broken.invariant, "holds", broken.message))
        self.scheduler.record(operation, observation)
        return observation, wrong

    def _ask(self, operation: Operation) -> list[Difference]:
        """Have both managers answer what changes no picture, and say what differs."""
        mine, theirs = self.reference.apply(operation), self.subject.apply(operation)
        view = self.witness.last
        return [] if mine == theirs else differences(Picture(mine, view), Picture(theirs, view))

    def _forget(self, name: str) -> None:
        del self.scheduler.books[name], self.texts[name]
        for session in (self.reference, self.subject):
            if isinstance(session, ApiSession):
                del session.requests[name]
        self.witness.checker.history.requests.pop(name, None)


def start(scope: Scope, reference: Opener, subject: Opener) -> Playing:
    """Two managers that have just been built. Raises ConfigurationError if one of them refuses."""
    configuration = scope.configuration
    sides = reference(configuration), subject(configuration)
    scheduler = Scheduler(configuration.max_model_len, scope.drafts)
    return Playing(*sides, scheduler, Witness(configuration))
