"""What can be seen of one manager: a session performs operations and shows its state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from invariants.view import View
from kvref.operations import Configuration, Observation, Operation


class Session(Protocol):
    """One manager, alive."""

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. A caller's mistake is told in the observation."""

    def view(self) -> View:
        """The manager's state, now."""


@runtime_checkable
class Forgets(Protocol):
    """A session that can let go of a request, which will not come again."""

    def forget(self, name: str) -> None:
        """Let go of the request."""


@runtime_checkable
class AppliesAll(Protocol):
    """A session that takes many operations at once, since each costs a round trip."""

    def apply_all(self, operations: Sequence[Operation], gone: Sequence[str]) -> list[Observation]:
        """Perform them, up to the first that raises, and let go of the requests that are gone."""


def apply_all(session: Session, operations: Sequence[Operation], gone: Sequence[str]) -> list[Observation]:
    """Perform operations, up to the first that raises, and let go of the requests that are gone behind them."""
    if isinstance(session, AppliesAll):
        return session.apply_all(operations, gone)
    seen = []
    for operation in operations:
        seen.append(session.apply(operation))
        if seen[-1].error is not None:
            break
    if isinstance(session, Forgets):
        for name in gone:
            session.forget(name)
    return seen


class Opener(Protocol):
    """Builds a manager in this process."""

    def __call__(self, configuration: Configuration, /) -> Session:
        """A manager of this configuration. Raises ConfigurationError if it is refused."""


@dataclass(frozen=True)
class Picture:
    """What was seen after one operation."""

    observation: Observation
    view: View
