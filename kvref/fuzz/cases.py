"""One case: a configuration and a trace, drawn from (seed, profile, number) alone."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.fuzz import generate
from kvref.fuzz.caller import Caller, CaseOver
from kvref.fuzz.choices import Seeded
from kvref.fuzz.configurations import Profile, proposals
from kvref.fuzz.coverage import Coverage, Watch
from kvref.fuzz.guidance import draw_aim, fits, weights_for
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.mistakes import draw_mistake
from kvref.fuzz.themes import draw_theme
from kvref.operations import Configuration, Lookup, Observation, Operation, Trace
from kvref.targets.base import CaseResult, Digester
from kvref.targets.capabilities import Capabilities
from kvref.targets.deviations import (
    Catalogue,
    Situation,
    met_at_construction,
    met_by,
)
from kvref.targets.picture import Opener, Session

Notice = Callable[[Operation, Observation, View], object]
"""Told of every operation while a case is drawn."""


@dataclass(frozen=True)
class Case:
    """A trace, and what the manager that it was drawn on showed."""

    trace: Trace
    expected: CaseResult
    coverage: Coverage


def is_careful(number: int) -> bool:
    """Whether the scheduler of this case keeps what no manager can know: every second one's does.

    Then a sound manager's reads find what they should, and the data plane can follow it.
    """
    return number % 2 == 0


def random_of(seed: int, profile: Profile, number: int) -> Seeded:
    """The choices of one case. Equal arguments give equal choices, on every machine."""
    return Seeded(f"{seed}/{profile}/{number}")


def draw_case(
    seed: int,
    profile: Profile,
    number: int,
    length: int,
    opener: Opener,
    catalogue: Catalogue,
    notice: Callable[[Configuration], Notice] | None = None,
    offers: Sequence[Capabilities] = (),
    *,
    guidance: bool = False,
) -> Case:
    """Draw the configuration, and play a scheduler on what `opener` builds for `length` operations.

    In the profile `clean` nothing is drawn that the catalogue knows. Nothing is asked that one of `offers`
    lacks. With `guidance` some cases have an aim.
    """
    choices = random_of(seed, profile, number)
    aim = draw_aim(choices, number) if guidance else None
    weights = weights_for(aim) if aim else draw_theme(choices).weights

    def can_be_asked(configuration: Configuration) -> bool:
        known = profile == "clean" and met_at_construction(catalogue, configuration) is not None
        lacking = any(offered.refuses(configuration) for offered in offers)
        return not known and not lacking and fits(aim, configuration)

    asked = next(filter(can_be_asked, proposals(choices, profile, weights)), None)
    configuration = asked or next(proposals(choices, profile, weights))
    try:
        session = opener(configuration)
    except ConfigurationError as refusal:
        trace = Trace(configuration, (), seed=seed, case=number)
        return Case(trace, CaseResult(refused=str(refusal)), Coverage())
    player = _Player(configuration, session, notice(configuration) if notice else None)

    def avoids(operation: Operation) -> bool:
        if offers and any(offered.lacks(operation) for offered in offers):
            return True
        clean = profile == "clean"
        return clean and met_by(catalogue, Situation(configuration, session, operation)) is not None

    def apply(operation: Operation) -> Observation:
        observation = player.apply(operation)
        if isinstance(operation, Lookup):
            known = caller.scheduler.books[operation.request].tokens
            if not 0 <= (observation.tokens or 0) < known:
                raise CaseOver  # no scheduler can go on behind a hit that leaves nothing to compute
        return observation

    habits = draw_habits(choices, configuration, weights)
    caller = Caller(
        choices, configuration, habits, apply, avoids, length, careful=is_careful(number), weights=weights
    )
    operations = generate.play(caller)
    names_mistakes = all(offered.names_mistakes for offered in offers)
    if profile == "mixed" and names_mistakes and choices.chance(0.1):
        mistake = draw_mistake(choices, configuration, caller.scheduler)
        if not avoids(mistake):
            operations.append(mistake)
            with suppress(CaseOver):
                player.apply(mistake)
    trace = Trace(configuration, tuple(operations), seed=seed, case=number)
    return Case(trace, CaseResult(tuple(player.digests)), player.watch.coverage)


class _Player:
    """Performs operations on the reference, and keeps their digests."""

    def __init__(self, configuration: Configuration, session: Session, notice: Notice | None) -> None:
        self.watch = Watch(configuration)
        self.digests: list[bytes] = []
        self._session = session
        self._notice = notice
        self._before = session.view()
        self._digester = Digester()

    def apply(self, operation: Operation) -> Observation:
        observation = self._session.apply(operation)
        view = self._session.view()
        self.digests.append(self._digester.digest(observation, view))
        if observation.error is None:
            self.watch.see(operation, observation, self._before, view)
        self._before = view
        if self._notice is not None:
            self._notice(operation, observation, view)
        if observation.error is not None:
            raise CaseOver
        return observation
