"""What can be seen of one manager: a session performs operations and shows its state."""

from dataclasses import dataclass
from typing import Protocol

from invariants.view import View
from kvref.operations import Configuration, Observation, Operation


class Session(Protocol):
    """One manager, alive."""

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. A caller's mistake is told in the observation."""

    def view(self) -> View:
        """The manager's state, now."""


class Opener(Protocol):
    """Builds a manager in this process."""

    def __call__(self, configuration: Configuration, /) -> Session:
        """A manager of this configuration. Raises ConfigurationError if it is refused."""


@dataclass(frozen=True)
class Picture:
    """What was seen after one operation."""

    observation: Observation
    view: View
