"""What happened since the states last agreed: there the cause of a difference is looked for."""

from kvref.operations import Configuration
from kvref.record.restored import FollowingSession
from kvref.record.told import Resumed, Told
from kvref.targets.deviations import Catalogue, Deviation, Situation, met_by


class Since:
    """The operations since a state, performed once more to see what a catalogue says of them."""

    def __init__(self, configuration: Configuration, catalogue: Catalogue) -> None:
        self._configuration = configuration
        self._catalogue = tuple(one for one in catalogue if one.concerns(configuration))
        self._beginning: Resumed | None = None
        self._told: list[Told] = []

    def begins(self, beginning: Resumed) -> None:
        """Reference and engine agree on this."""
        self._beginning = beginning
        self._told.clear()

    def follow(self, one: Told) -> None:
        """One more operation."""
        if self._catalogue:
            self._told.append(one)

    @property
    def is_needed(self) -> bool:
        """Whether any deviation is known for the configuration."""
        return bool(self._catalogue)

    def known(self, *, returned: bool) -> Deviation | None:
        """The deviation that the last operation shows, or, where only a state differs, the first that any does."""
        if not self._catalogue:
            return None
        session = FollowingSession(self._configuration)
        if self._beginning is not None:
            session.resume(self._beginning)
        last = len(self._told) - 1
        for at, one in enumerate(self._told):
            if at == last or not returned:
                met = met_by(self._catalogue, Situation(self._configuration, session, one.operation))
                if met is not None:
                    return met
            session.apply(one.operation)
            if one.gone is not None:
                session.forget(one.gone)
        return None
