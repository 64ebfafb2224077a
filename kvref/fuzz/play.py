"""Plays one case at level `safe`: a careful scheduler on the target, with data behind its block ids."""

from contextlib import suppress

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError, WrongAnswerError
from kvref.fuzz import generate
from kvref.fuzz.caller import Caller
from kvref.fuzz.cases import random_of
from kvref.fuzz.configurations import proposals
from kvref.fuzz.coverage import Watch
from kvref.fuzz.guidance import draw_aim, fits, weights_for
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.safe import Played, SafeTarget
from kvref.fuzz.settings import Settings
from kvref.fuzz.themes import draw_theme
from kvref.operations import Configuration, Observation, Operation, Trace
from kvref.targets.picture import Session
from kvref.witness import Witness

SHOWN = 4
"""So many differences are told of one case."""


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
        observation, wrong = self.safety.performs(self._session, operation)
        self.wrong += wrong
        if self._witness is not None and not wrong:
            self.wrong += self._broken(self._witness, operation, observation)
        if self.wrong:
            raise _Wrong
        self.watch.see(operation, observation, None, None)
        return observation

    def _broken(self, witness: Witness, operation: Operation, observation: Observation) -> list[Difference]:
        try:
            view = self._session.view()
        except WrongAnswerError as wrong:
            return [Difference(wrong.what, wrong.expected, wrong.actual)]
        broken = witness.sees(operation, observation, view)
        return [Difference(one.invariant, "holds", one.message) for one in broken]


def play(settings: Settings, number: int, target: SafeTarget) -> Played:
    """Play one case, drawn from (seed, profile, number) and from what the target answers."""
    choices = random_of(settings.seed, settings.profile, number)
    aim = draw_aim(choices, number) if settings.guidance else None
    weights = weights_for(aim) if aim else draw_theme(choices).weights
    lacking: list[str] = []
    for configuration in proposals(choices, settings.profile, weights):
        reason = target.capabilities.refuses(configuration)
        if reason is not None:
            lacking.append(reason)
        elif fits(aim, configuration):
            break
    trace = Trace(configuration, (), seed=settings.seed, case=number)
    try:
        session = target.opener(configuration)
    except ConfigurationError as refusal:
        return Played(trace, refused=str(refusal), lacking=tuple(lacking))
    except WrongAnswerError as fault:
        told = Difference(fault.what, fault.expected, fault.actual)
        return Played(trace, (told,), lacking=tuple(lacking))
    can_tell = target.capabilities.is_sound and target.capabilities.shows_state
    witnessed = can_tell and number % settings.witnessed == 0
    player = _Player(configuration, session, target, witnessed=witnessed)

    def avoids(operation: Operation) -> bool:
        return target.capabilities.lacks(operation) is not None

    habits = draw_habits(choices, configuration, weights)
    caller = Caller(
        choices,
        configuration,
        habits,
        player.apply,
        avoids,
        settings.length,
        careful=True,
        weights=weights,
    )
    with suppress(_Wrong):
        generate.play(caller)
        generate.wind_down(caller)
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
