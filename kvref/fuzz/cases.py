"""One case: a configuration and a trace, drawn from (seed, profile, number) alone."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.fuzz.configurations import Profile, chance, draw
from kvref.fuzz.coverage import Coverage, Watch
from kvref.fuzz.generate import Caller
from kvref.fuzz.mistakes import draw_mistake
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.base import CaseResult, digest
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
    """A trace, and what the reference showed on it."""

    trace: Trace
    expected: CaseResult
    coverage: Coverage


def is_careful(number: int) -> bool:
    """Whether the scheduler of this case keeps what no manager can know: every second one's does.

    Then a sound manager's reads find what they should, and the data plane can follow it.
    """
    return number % 2 == 0


def random_of(seed: int, profile: Profile, number: int) -> Random:
    """The generator of one case. Equal arguments give equal choices, on every machine."""
    return Random(f"{seed}/{profile}/{number}")  # noqa: S311 - not for secrets


def draw_case(
    seed: int,
    profile: Profile,
    number: int,
    length: int,
    opener: Opener,
    catalogue: Catalogue,
    notice: Callable[[Configuration], Notice] | None = None,
) -> Case:
    """Draw the configuration, and play a scheduler on the reference for `length` operations.

    In the profile `clean` nothing is drawn that the catalogue knows.
    """
    rng = random_of(seed, profile, number)
    configuration = draw(rng, profile)
    while profile == "clean" and met_at_construction(catalogue, configuration):
        configuration = draw(rng, profile)
    try:
        session = opener(configuration)
    except ConfigurationError as refusal:
        trace = Trace(configuration, (), seed=seed, case=number)
        return Case(trace, CaseResult(refused=str(refusal)), Coverage())
    player = _Player(configuration, session, notice(configuration) if notice else None)

    def avoids(operation: Operation) -> bool:
        situation = Situation(configuration, session, operation)
        return profile == "clean" and met_by(catalogue, situation) is not None

    caller = Caller(rng, configuration, player.apply, avoids, length, careful=is_careful(number))
    operations = caller.run()
    if profile == "mixed" and chance(rng, 0.1):
        mistake = draw_mistake(rng, configuration, caller.scheduler)
        if mistake is not None:
            player.apply(mistake)
            operations.append(mistake)
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

    def apply(self, operation: Operation) -> Observation:
        observation = self._session.apply(operation)
        view = self._session.view()
        self.digests.append(digest(observation, view))
        if observation.error is None:
            self.watch.see(operation, observation, self._before, view)
        self._before = view
        if self._notice is not None:
            self._notice(operation, observation, view)
        return observation
