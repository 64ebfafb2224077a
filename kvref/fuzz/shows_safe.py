"""Level `safe`: where a target's reads find the wrong data, or a request waits for ever."""

from collections.abc import Collection
from typing import Final, final

import msgspec

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError, WrongAnswerError
from kvref.fuzz.legal import Legal, is_asynchronous
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.shows import Shown, bare, names_of
from kvref.operations import GetBlocks, Observation, Operation, Trace

Sort = tuple[str, str]


def sort_of(difference: Difference, names: Collection[str]) -> Sort:
    """What remains of a difference without the names of requests and without numbers."""
    return bare(difference.what, names), bare(difference.actual, names)


@final
class Safe:
    """Plays traces on the target itself, with data behind its block ids."""

    def __init__(self, target: SafeTarget) -> None:
        self._target: Final = target

    def play(self, trace: Trace) -> Shown:
        """Play a trace as far as it is legal, up to what is wrong."""
        try:
            following = _Following(trace, self._target)
        except (ConfigurationError, WrongAnswerError):
            return Shown(msgspec.structs.replace(trace, operations=()))
        for operation in trace.operations:
            following.play(operation)
            if following.wrong:
                break
        following.end()
        performed = msgspec.structs.replace(trace, operations=tuple(following.performed))
        return Shown(performed, tuple(following.wrong))

    def is_same(self, first: Shown, other: Shown) -> bool:
        """Whether the same is wrong, but for names and numbers."""
        ours, theirs = names_of(first.trace), names_of(other.trace)
        sort = sort_of(first.differences[0], ours)
        return any(sort_of(one, theirs) == sort for one in other.differences)


@final
class _Following:
    """Plays operations on a target for as long as nothing is wrong."""

    def __init__(self, trace: Trace, target: SafeTarget) -> None:
        """Raises ConfigurationError if the target refuses the configuration."""
        refused = target.capabilities.refuses(trace.configuration)
        if refused is not None:
            raise ConfigurationError(refused)
        self._capabilities: Final = target.capabilities
        self._session: Final = target.opener(trace.configuration)
        self._legal: Final = Legal(trace.configuration, asynchronous=is_asynchronous(trace.operations))
        self._safety: Final = Safety(
            trace.configuration, target.opener, as_specified=target.capabilities.is_sound
        )
        self.performed: Final[list[Operation]] = []
        self.wrong: list[Difference] = []
        self._told: GetBlocks | None = None
        """What the worker has just asked for."""

    def play(self, wanted: Operation) -> None:
        """Play the operation as it may come next.

        The worker is told of the table that an admission made, as by a replay: the trace need not say so.
        """
        told, self._told = self._told, None
        operation = self._legal.fit(wanted)
        if operation is None or operation == told or self._capabilities.lacks(operation) is not None:
            return
        is_admission = self._legal.is_admission(operation)
        self.performed.append(operation)
        if self._perform(operation).blocks is not None and is_admission and not self.wrong:
            self._told = GetBlocks(getattr(operation, "request", ""))
            self._perform(self._told)

    def end(self) -> None:
        """Nothing follows."""
        self.wrong = self.wrong or self._safety.ends()

    def _perform(self, operation: Operation) -> Observation:
        observation, wrong = self._safety.performs(self._session, operation)
        self.wrong += wrong
        if not self.wrong:
            self._legal.record(operation, observation)
        return observation
