"""The state that the next legal operation depends on: what a scheduler knows, operation after operation."""

from dataclasses import dataclass

from kvref.fuzz.choices import Choices
from kvref.fuzz.habits import Habits
from kvref.fuzz.results import may_rest
from kvref.fuzz.serving import MAX_LIVE, Serving
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    GetBlocks,
    NewRequest,
    NewStep,
    Observation,
    Operation,
)
from kvref.protocol import Book, Phase


class State(Serving):
    """A scheduler's state. Tell it with `record` what was performed, and what came of it."""

    def __init__(
        self,
        choices: Choices,
        configuration: Configuration,
        habits: Habits,
        weights: Weights = DEFAULT,
        *,
        careful: bool = False,
    ) -> None:
        super().__init__(choices, configuration, habits, weights, careful=careful)
        self.untold: str | None = None
        """An admitted request of a careful scheduler: the worker must be told of its table next."""
        self.is_short = False
        """Whether the last allocation was refused, and nothing was freed since."""
        self.leaving: set[str] = set()
        """Requests that are freed for good."""

    def record(self, operation: Operation, observation: Observation) -> None:
        """Note that a legal operation was performed, and what it returned."""
        match operation:
            case NewRequest(request=name):
                self.live.append(name)
            case NewStep():
                self.budget = self.step_budget
            case Allocate() if observation.blocks is None:
                self.is_short = True
            case Allocate(request=name):
                self.is_short = False
                self.budget -= operation.new
                if self.care and self.scheduler.books[name].phase is Phase.WAITING:
                    self.untold = name
            case GetBlocks(request=name) if name == self.untold:
                self.untold = None
            case Free(request=name):
                self.is_short = False
                if name in self.leaving:
                    self.live.remove(name)
            case _:
                pass
        self.scheduler.record(operation, observation)

    def requests(self) -> list["LiveRequest"]:
        """The requests that have not left, in the order of their arrival."""
        return [LiveRequest(self, self.scheduler.books[name]) for name in self.live]

    @property
    def has_room(self) -> bool:
        """Whether another request may arrive."""
        return len(self.live) < MAX_LIVE

    @property
    def may_begin_step(self) -> bool:
        """Whether a step may begin, as this scheduler goes about it."""
        in_flight = self.scheduler.launched or self.scheduler.step is not None
        waits = bool(in_flight) and not self.habits.asynchronous
        return not waits and self.untold is None and self.scheduler.violation(NewStep()) is None


@dataclass(frozen=True, eq=False)
class LiveRequest:
    """One request of a state, and what it may do next."""

    state: State
    book: Book

    @property
    def name(self) -> str:
        """Its name in operations."""
        return self.book.name

    def may_get_tokens(self) -> bool:
        """Whether it can be scheduled, in the step that is open or in one that may begin."""
        book, state = self.book, self.state
        if book.phase is Phase.LOADING or state.untold is not None:
            return state.untold == self.name
        has_work = book.phase is Phase.WAITING or (book.unscheduled > 0 and not book.due)
        return has_work and (state.may_begin_step or self.is_next())

    def is_next(self) -> bool:
        """Whether the open step has room for it."""
        open_step = self.state.scheduler.step is not None
        return open_step and not self.book.scheduled_now and self.state.budget > 0

    def may_lose_blocks(self) -> bool:
        """Whether it has blocks, and may finish or be preempted."""
        runs = self.book.phase is Phase.RUNNING and not self.book.due
        return runs and self.state.scheduler.violation(Free(self.name)) is None

    def may_turn(self) -> bool:
        """Whether it is to be preempted, since the pool is short, or may go on as a session."""
        return (self.state.is_short and self.may_lose_blocks()) or self.may_go_on()

    def may_go_on(self) -> bool:
        """Whether it is a session that may be given its next input."""
        state = self.state
        busy = self.book.due or state.scheduler.launched or state.scheduler.is_in_flight(self.book)
        return may_rest(state, self.book) and not busy
