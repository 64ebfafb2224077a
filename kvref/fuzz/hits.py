"""Level `hits`: safe, and the same hit lengths, admissions and refusals as the reference's.

Block ids are each manager's own. The reference follows operation by operation, and evicts by its own ids:
equal hits then ask for the same eviction policy, never for the same ids. An eviction by id would be of
another content in each manager, so none is asked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, final

from invariants.view import View
from kvref.errors import WrongAnswerError
from kvref.fuzz.safe import SafeTarget, require_live
from kvref.operations import Allocate, Configuration, Lookup, Observation, Operation, Reset, Trace
from kvref.targets.base import CaseResult, Target
from kvref.targets.capabilities import Capabilities
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Opener, Picture, Session


def held(target: Target, reference: Opener) -> "HeldToHits":
    """The target, with a reference that follows. Raises UserError if it cannot be asked one at a time."""
    return HeldToHits(require_live(target), reference)


def reduced(operation: Operation, observation: Observation) -> tuple[str, str]:
    """What of an observation does not depend on ids: what it is, and its value in words."""
    if observation.error is not None:
        return "error", observation.error
    match operation:
        case Lookup(request=name):
            return f"hit length of {name}", str(observation.tokens)
        case Allocate(request=name):
            return f"slots for {name}", "refused" if observation.blocks is None else "granted"
        case Reset():
            return "reset", "done" if observation.done else "refused"
        case _:
            return "error", "none"


@final
class HitsSession:
    """A target's session, with a reference that follows."""

    def __init__(self, session: Session, reference: Session) -> None:
        self._session: Final = session
        self._reference: Final = reference

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. Raises WrongAnswerError where the reference answers otherwise."""
        observation = self._session.apply(operation)
        due, shown = (reduced(operation, one) for one in (self._reference.apply(operation), observation))
        if due != shown:
            raise WrongAnswerError(shown[0], due[1] if due[0] == shown[0] else " ".join(due), shown[1])
        return observation

    def view(self) -> View:
        """The target's state."""
        return self._session.view()


@final
class HeldToHits:
    """A target whose sessions are held to level hits, as a target at level safe."""

    def __init__(self, target: SafeTarget, reference: Opener) -> None:
        self.target: Final = target
        self.name: Final = target.name
        self.capabilities: Final[Capabilities] = replace(
            target.capabilities, operations=target.capabilities.operations - {"Evict"}
        )
        self._reference: Final = reference

    def opener(self, configuration: Configuration, /) -> Session:
        """A manager and its reference. Raises ConfigurationError if either refuses."""
        reference = self._reference(configuration)
        return HitsSession(self.target.opener(configuration), reference)

    @property
    def catalogue(self) -> Catalogue:
        """The target's."""
        return self.target.catalogue

    @property
    def cpu_seconds(self) -> float:
        """The target's."""
        return self.target.cpu_seconds

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        """As the target does, unheld."""
        return self.target.run(traces)

    def picture(self, trace: Trace) -> list[Picture]:
        """As the target does, unheld."""
        return self.target.picture(trace)

    def close(self) -> None:
        """Close the target."""
        self.target.close()
