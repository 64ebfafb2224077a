"""The state machine: subclass it, name your target, and Hypothesis looks for what breaks it.

Every rule draws one operation, as the fuzzer would, and performs it; the invariant then says what is wrong.
"""

import sys
from contextlib import suppress
from types import FunctionType
from typing import Any, ClassVar

from hypothesis import note, reject
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from kvref.errors import ConfigurationError
from kvref.fuzz.configurations import Profile, draw
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.mistakes import draw_mistake
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.themes import draw_theme
from kvref.fuzz.weights import Weights
from kvref.operations import Allocate, Operation
from kvref.protocol import Book
from kvref.testing import transitions
from kvref.testing.aim import Given, aim_at
from kvref.testing.checks import Level
from kvref.testing.choices import Drawn, drawn
from kvref.testing.divergence import DivergenceError
from kvref.testing.run import StateMachineTest
from kvref.testing.state import LiveRequest, State
from kvref.testing.trial import Trial

MOST_DRAWN = 100


class KVCacheMachine(RuleBasedStateMachine):
    """A scheduler at work on the manager that a subclass names in `target`, held to its `level`.

    `profile` is whether configurations are drawn that some release is known to deviate on; `weights` tells
    what is drawn how often: without them, each example has a theme, as the fuzzer's cases have. What the
    target's own catalogue knows is left out.
    """

    target: ClassVar[Given]
    level: ClassVar[Level] = "exact"
    profile: ClassVar[Profile] = "mixed"
    weights: ClassVar[Weights | None] = None

    requests: Bundle[LiveRequest] = Bundle("requests")

    trial: Trial
    state: State
    TestCase = StateMachineTest()  # type: ignore[assignment]
    _aim: ClassVar[SafeTarget | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        """A function named as the target is no method."""
        super().__init_subclass__(**options)
        given = vars(cls).get("target")
        if given is not None:
            cls._aim = None
        if isinstance(given, FunctionType):
            cls.target = staticmethod(given)

    def __init__(self) -> None:
        super().__init__()
        self.works = False
        """Whether the scheduler has worked since something odd was done: without it, odd things would prevail."""
        self.errs = False
        """Whether the last operation is a mistake of the caller: behind it states may differ."""

    @classmethod
    def aim(cls) -> SafeTarget:
        """The target, opened once."""
        if cls._aim is None:
            cls._aim = aim_at(cls.target)
        return cls._aim

    # What is drawn

    @initialize(choices=drawn(), target=requests)
    def build(self, choices: Drawn) -> LiveRequest:
        """Build a manager of a random configuration; the first request arrives."""
        weights = self.weights or draw_theme(choices).weights
        for _ in range(MOST_DRAWN):
            configuration = draw(choices, self.profile, weights)
            with suppress(ConfigurationError):
                self.trial = Trial(self.level, self.aim(), configuration)
                break
        else:
            reject()
        self.nothing_is_wrong()
        note(f"  {configuration}")
        careful = self.level in ("safe", "hits") or choices.chance(0.5)
        self.errs = self.level == "exact" and choices.chance(0.1)
        habits = draw_habits(choices, configuration, weights)
        self.state = State(choices, configuration, habits, weights, careful=careful)
        return self._arrive()

    @rule(target=requests)
    @precondition(lambda self: self.state.has_room)
    def arrive(self) -> LiveRequest:
        """A request arrives."""
        return self._arrive()

    @rule()
    @precondition(lambda self: transitions.may_serve(self.state))
    def serve(self) -> None:
        """What a server does next: a request gets tokens, or a step ends, or what it brings arrives."""
        request = transitions.draw_served(self.state)
        if request is None:
            self.results()
        else:
            self.schedule(request)

    @rule(request=requests.filter(LiveRequest.may_get_tokens))
    @precondition(lambda self: any(map(LiveRequest.may_get_tokens, self.state.requests())))
    def schedule(self, request: LiveRequest) -> None:
        """The calls that give a request its next tokens, or show that it cannot have them."""
        operation: Operation | None = None
        while not isinstance(operation, Allocate) and not self.trial.wrong:
            operation = transitions.draw_tokens(request)
            if not self.perform(operation):
                return
        if self.state.untold is not None:
            self.perform(transitions.draw_tokens(request))

    @rule()
    @precondition(lambda self: transitions.may_bring_results(self.state))
    def results(self) -> None:
        """A step ends, or what it brings arrives."""
        self.perform(transitions.draw_results(self.state))

    @rule(request=consumes(requests.filter(LiveRequest.may_lose_blocks)))
    @precondition(lambda self: any(map(LiveRequest.may_lose_blocks, self.state.requests())))
    def finish(self, request: LiveRequest) -> None:
        """A request leaves."""
        self.perform(transitions.draw_finish(request))

    @rule(request=requests.filter(LiveRequest.may_turn))
    @precondition(lambda self: any(map(LiveRequest.may_turn, self.state.requests())))
    def turn(self, request: LiveRequest) -> None:
        """A request loses its blocks to others, or a session gets its next input."""
        self.perform(transitions.draw_turn(request))

    @rule()
    @precondition(lambda self: self.works)
    def disturb(self) -> None:
        """A query, a reset, an eviction, or another odd thing."""
        query = not self.state.choices.chance(0.3)
        draw_odd = transitions.draw_query if query else transitions.draw_upheaval
        self.perform(draw_odd(self.state))
        self.works = False

    @invariant()
    def nothing_is_wrong(self) -> None:
        """What the level demands holds of the last operation."""
        if self.trial.wrong:
            raise DivergenceError(self.aim().name, self.level, self.trial.trace, self.trial.wrong)

    def teardown(self) -> None:
        """Nothing follows: what was refused for good is told now."""
        if sys.exception() is None:  # else it failed before
            if self.errs:
                self.trial.perform(
                    draw_mistake(self.state.choices, self.trial.configuration, self.state.scheduler)
                )
            self.trial.end()
            self.nothing_is_wrong()

    def perform(self, operation: Operation | None) -> bool:
        """Perform a legal operation on the manager. False if it cannot be asked, or is known to deviate."""
        if operation is None or self.trial.avoids(operation):
            return False
        note(f"  {operation}")
        self.works = True
        observation = self.trial.perform(operation)
        if not self.trial.wrong:
            self.state.record(operation, observation)
        return True

    def _arrive(self) -> LiveRequest:
        operation = transitions.draw_arrival(self.state)
        self.perform(operation)
        book = self.state.scheduler.books.get(operation.request)
        # Something is wrong already if there is no book: the request will not be used.
        return LiveRequest(self.state, book or Book(operation.request, 0, 0))
