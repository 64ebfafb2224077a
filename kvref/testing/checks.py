"""What is held against a manager after every operation, by level of conformance."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Protocol, final

from invariants.view import View
from kvref.compare import Difference, differences
from kvref.errors import UserError
from kvref.fuzz.safe import SafeTarget
from kvref.operations import Configuration, Observation, Operation
from kvref.targets.picture import Picture, Session
from kvref.witness import Witness

if TYPE_CHECKING:
    from kvref.dataplane.safety import Safety

Level = Literal["invariants", "safe", "hits", "exact"]


class Seen:
    """An operation that was performed, what it returned, and the state behind it if anybody asks."""

    def __init__(self, operation: Operation, observation: Observation, look: Callable[[], View]) -> None:
        self.operation: Final = operation
        self.observation: Final = observation
        self._look: Final = look

    @cached_property
    def view(self) -> View:
        """The manager's state."""
        return self._look()


class Check(Protocol):
    """Follows one manager from its first operation on."""

    def sees(self, seen: Seen) -> list[Difference]:
        """What is wrong with what was seen."""

    def ends(self) -> list[Difference]:
        """What is wrong when nothing follows."""


@final
class KeepsInvariants:
    """Every invariant, after every operation."""

    def __init__(self, configuration: Configuration) -> None:
        self._witness: Final = Witness(configuration)

    def sees(self, seen: Seen) -> list[Difference]:
        """The invariants that do not hold."""
        broken = self._witness.sees(seen.operation, seen.observation, seen.view)
        return [Difference(one.invariant, "holds", one.message) for one in broken]

    def ends(self) -> list[Difference]:
        """Nothing: invariants hold at any time."""
        return []


@final
class ShowsTheSame:
    """What was returned, and the whole state, are the reference's."""

    def __init__(self, beside: Session) -> None:
        self._beside: Final = beside

    def sees(self, seen: Seen) -> list[Difference]:
        """What differs."""
        observation = self._beside.apply(seen.operation)
        if seen.observation.error is not None and observation.error == seen.observation.error:
            return []
        view = self._beside.view()
        if observation == seen.observation and view == seen.view:
            return []
        return differences(Picture(observation, view), Picture(seen.observation, seen.view))

    def ends(self) -> list[Difference]:
        """Nothing: what was seen was compared."""
        return []


@final
class HitsTheSame:
    """Hit lengths, admissions and refusals are the reference's; which blocks, is the manager's own choice."""

    def __init__(self, beside: Session) -> None:
        self._beside: Final = beside

    def sees(self, seen: Seen) -> list[Difference]:
        """What differs."""
        mine, theirs = self._beside.apply(seen.operation), seen.observation
        pairs = (
            ("hit length", mine.tokens, theirs.tokens),
            ("granted", mine.blocks is not None, theirs.blocks is not None),
            ("reset done", mine.done, theirs.done),
            ("error", mine.error, theirs.error),
        )
        return [Difference(what, str(due), str(shown)) for what, due, shown in pairs if due != shown]

    def ends(self) -> list[Difference]:
        """Nothing: what was seen was compared."""
        return []


@final
class ReadsWhatItShould:
    """Data behind the block ids: every read finds what it should, and nobody waits for ever."""

    def __init__(self, configuration: Configuration, target: SafeTarget) -> None:
        """Raises UserError if torch is not installed."""
        sound = target.capabilities.is_sound
        self._safety: Final = data_plane()(configuration, target.opener, as_specified=sound)

    def sees(self, seen: Seen) -> list[Difference]:
        """What is wrong with what was returned, or read."""
        return self._safety.sees(seen.operation, seen.observation)

    def ends(self) -> list[Difference]:
        """What is refused that should not be."""
        return self._safety.ends()


def data_plane() -> "type[Safety]":
    """What keeps data behind block ids. Raises UserError if torch is not installed."""
    try:
        from kvref.dataplane.safety import Safety  # noqa: PLC0415 - torch is optional, and slow
    except ModuleNotFoundError as absent:
        if absent.name != "torch":
            raise
        raise UserError("levels safe and hits need torch: pip install 'kvref[dataplane]'") from absent
    return Safety


def needs(level: Level) -> None:
    """Raises UserError if what the level needs is not installed."""
    if level in ("safe", "hits"):
        data_plane()


def checks_of(
    level: Level, configuration: Configuration, target: SafeTarget, beside: Session | None
) -> list[Check]:
    """The checks of a level; `beside` is the reference, where the level compares with it."""
    checks: list[Check] = []
    if level == "invariants" or target.capabilities.is_sound:
        checks.append(KeepsInvariants(configuration))
    if level in ("safe", "hits"):
        checks.append(ReadsWhatItShould(configuration, target))
    if beside is not None:
        checks.append(HitsTheSame(beside) if level == "hits" else ShowsTheSame(beside))
    return checks
