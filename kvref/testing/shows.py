"""What a trace shows in a trial, so that it can be shrunk: at every level alike."""

from typing import Final, final

import msgspec

from kvref.errors import ConfigurationError
from kvref.fuzz.legal import MANNERS, Legal, Manners, is_asynchronous
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.shows import Shown, bare, names_of
from kvref.operations import GetBlocks, Operation, Trace
from kvref.testing.checks import Level
from kvref.testing.trial import Trial

TOLD: Final = ("safe", "hits")
"""At these levels the worker is told of the table that an admission made."""


@final
class Tried:
    """Plays traces on a target, at one level. `trace` tells in which manner its scheduler went about it.

    A mistaken one ends with what no legal scheduler does: that stays as it is.
    """

    def __init__(self, level: Level, target: SafeTarget, trace: Trace, *, mistaken: bool = False) -> None:
        self._mistakes: Final = trace.operations[-1:] if mistaken else ()
        self._level: Final = level
        self._target: Final = target
        self._manners: Manners = "careful"
        for manners in MANNERS:
            self._manners = manners
            performed = self.play(trace).trace.operations
            if performed == trace.operations[: len(performed)]:
                break

    def play(self, trace: Trace) -> Shown:
        """Play a trace as far as it is legal, up to what is wrong."""
        try:
            trial = Trial(self._level, self._target, trace.configuration)
        except ConfigurationError:
            return Shown(msgspec.structs.replace(trace, operations=()))
        asynchronous = is_asynchronous(trace.operations)
        legal = Legal(trace.configuration, asynchronous=asynchronous, manners=self._manners)
        mistakes = self._mistakes if trace.operations[-1:] == self._mistakes else ()
        for wanted in trace.operations[: len(trace.operations) - len(mistakes)]:
            if trial.wrong:
                break
            repeated = isinstance(wanted, GetBlocks) and trial.operations[-1:] == [wanted]
            fitted = legal.fit(wanted)
            if fitted is not None and not repeated:
                self._perform(trial, legal, fitted)
        for mistake in mistakes if not trial.wrong else ():
            trial.perform(mistake)
        trial.end()
        return Shown(msgspec.structs.replace(trace, operations=tuple(trial.operations)), tuple(trial.wrong))

    def _perform(self, trial: Trial, legal: Legal, operation: Operation) -> None:
        if trial.avoids(operation):
            return
        is_admission = legal.is_admission(operation)
        observation = trial.perform(operation)
        if trial.wrong or observation.error is not None:
            return
        legal.record(operation, observation)
        if self._level in TOLD and is_admission and observation.blocks is not None:
            self._perform(trial, legal, GetBlocks(getattr(operation, "request", "")))

    def is_same(self, first: Shown, other: Shown) -> bool:
        """Whether the same kind of operation shows the same first thing, but for names and numbers."""
        if type(first.operation) is not type(other.operation):
            return False
        what = bare(first.differences[0].what, names_of(first.trace))
        return any(bare(one.what, names_of(other.trace)) == what for one in other.differences)
