"""Plays one case at level `safe`: a careful scheduler on the target, with data behind its block ids."""

from contextlib import suppress

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError
from kvref.fuzz.cases import random_of
from kvref.fuzz.configurations import draw
from kvref.fuzz.coverage import Watch
from kvref.fuzz.generate import Caller
from kvref.fuzz.safe import Played, SafeTarget, Settings
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.picture import Session
from kvref.witness import Witness

SHOWN = 4
"""So many differences are told of one case."""

MOST_DRAWN = 1000


class _Wrong(Exception):  # noqa: N818 - not an error
    """The case has shown what is wrong with the target."""


class _Player:
    """Performs operations on a session, until something is wrong."""

    def __init__(
        self, configuration: Configuration, session: Session, target: SafeTarget, *, witnessed: bool
    ) -> None:
        is_sound = target.capabilities.is_sound
        self.safety = Safety(configuration, target.opener, as_specified=is_sound)
        self.watch = Watch(configuration)
        self.wrong: list[Difference] = []
        self._session = session
        self._witness = Witness(configuration) if witnessed else None

    def apply(self, operation: Operation) -> Observation:
        observation = self._session.apply(operation)
        self.wrong += self.safety.sees(operation, observation)
        if self._witness is not None:
            broken = self._witness.sees(operation, observation, self._session.view())
            self.wrong += [Difference(one.invariant, "holds", one.message) for one in broken]
        if self.wrong:
            raise _Wrong
        self.watch.see(operation, observation, None, None)
        return observation


def play(settings: Settings, number: int, target: SafeTarget) -> Played:
    """Play one case, drawn from (seed, profile, number) and from what the target answers."""
    rng = random_of(settings.seed, settings.profile, number)
    configuration = draw(rng, settings.profile)
    lacking: list[str] = []
    while (reason := target.capabilities.refuses(configuration)) is not None and len(lacking) < MOST_DRAWN:
        lacking.append(reason)
        configuration = draw(rng, settings.profile)
    trace = Trace(configuration, (), seed=settings.seed, case=number)
    try:
        session = target.opener(configuration)
    except ConfigurationError as refusal:
        return Played(trace, refused=str(refusal), lacking=tuple(lacking))
    witnessed = target.capabilities.is_sound and number % settings.witnessed == 0
    player = _Player(configuration, session, target, witnessed=witnessed)

    def avoids(operation: Operation) -> bool:
        return target.capabilities.lacks(operation) is not None

    caller = Caller(rng, configuration, player.apply, avoids, settings.length, careful=True)
    with suppress(_Wrong):
        caller.run()
        caller.wind_down()
        player.wrong += player.safety.ends()
    trace = Trace(configuration, tuple(caller.operations), seed=settings.seed, case=number)
    safety = player.safety
    wrong = tuple(player.wrong[:SHOWN])
    watch = player.watch
    return Played(
        trace,
        wrong,
        None,
        safety.checked,
        safety.conflated,
        watch.coverage,
        frozenset(watch.met),
        tuple(lacking),
    )
