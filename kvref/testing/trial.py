"""One manager under test: what was performed on it, and what its level holds against it."""

from typing import Final, final

from kvref.compare import Difference
from kvref.errors import ConfigurationError, KvrefError
from kvref.fuzz.safe import SafeTarget
from kvref.operations import Configuration, Evict, Observation, Operation, Trace
from kvref.targets.deviations import Situation, met_at_construction, met_by
from kvref.targets.picture import Session
from kvref.testing.aim import reference
from kvref.testing.checks import Check, Level, Seen, checks_of

COMPARED: Final = ("hits", "exact")
"""The levels that the reference is asked at."""


@final
class Trial:
    """`wrong` is what is wrong so far, behind the last of `operations`."""

    def __init__(self, level: Level, target: SafeTarget, configuration: Configuration) -> None:
        """Raises ConfigurationError if nothing can be tried on this configuration, or is not to be."""
        self.configuration: Final = configuration
        self.operations: Final[list[Operation]] = []
        self.wrong: list[Difference] = []
        self._level: Final = level
        self._target: Final = target
        lacking = target.capabilities.refuses(configuration)
        if lacking is not None or met_at_construction(target.catalogue, configuration) is not None:
            raise ConfigurationError(lacking or "known to be built otherwise")
        beside, due = _open(reference(), configuration) if level in COMPARED else (None, None)
        session, refused = _open(target, configuration)
        if level in COMPARED and (beside is None) != (session is None):
            self.wrong.append(Difference("construction", due or "built", refused or "built"))
        elif session is None:
            raise ConfigurationError(refused)
        self._session: Final = session
        self._beside: Final = beside
        self._checks: Final[list[Check]] = (
            [] if self.wrong else checks_of(level, configuration, target, beside)
        )

    @property
    def trace(self) -> Trace:
        """What was performed."""
        return Trace(self.configuration, tuple(self.operations))

    def avoids(self, operation: Operation) -> bool:
        """Whether the target has no such operation, or is known to deviate here; ids differ at level hits."""
        if self._target.capabilities.lacks(operation):
            return True
        if self._level == "hits" and isinstance(operation, Evict):
            return True
        if self._beside is None or not self._target.catalogue:
            return False
        situation = Situation(self.configuration, self._beside, operation)
        return met_by(self._target.catalogue, situation) is not None

    def perform(self, operation: Operation) -> Observation:
        """Perform a legal operation, and check what came of it. What the manager raises is wrong, too."""
        assert self._session is not None  # noqa: S101 - else something was wrong from the beginning
        self.operations.append(operation)
        try:
            observation = self._session.apply(operation)
            seen = Seen(operation, observation, self._session.view)
            for check in self._checks:
                self.wrong += check.sees(seen)
        except KvrefError:
            raise
        except Exception as error:  # noqa: BLE001 - a faulty manager may raise anything
            self.wrong.append(
                Difference("raised", "nothing", f"{type(error).__name__}: {error}{_place(error)}")
            )
            return Observation()
        return observation

    def end(self) -> None:
        """Nothing follows."""
        if not self.wrong:
            for check in self._checks:
                self.wrong += check.ends()


def _open(target: SafeTarget, configuration: Configuration) -> tuple[Session | None, str | None]:
    """A manager, or why it was refused."""
    try:
        return target.opener(configuration), None
    except ConfigurationError as refusal:
        return None, str(refusal)


def _place(error: BaseException) -> str:
    """Where it was raised, in words."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})" if trace is not None else ""
