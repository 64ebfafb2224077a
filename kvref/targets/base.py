"""What an implementation under test offers: `open(configuration)`, then one operation after another.

Whole cases travel in one call, so that a process boundary costs little. A case is first run for its
digests, one an operation; pictures are made only where two digests differ.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, runtime_checkable

import msgspec

from invariants.view import View
from kvref.errors import ConfigurationError, UserError
from kvref.operations import Observation, Trace
from kvref.targets.capabilities import Capabilities
from kvref.targets.deviations import Catalogue
from kvref.targets.picture import Opener, Picture

DIGEST_BYTES = 8
_encoder = msgspec.msgpack.Encoder(order="deterministic")


class Target(Protocol):
    """An implementation under test."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def catalogue(self) -> Catalogue:
        """Its known deviations from the reference."""

    @property
    def cpu_seconds(self) -> float:
        """Processor time used outside this process, in seconds."""

    def run(self, traces: Sequence[Trace]) -> list["CaseResult"]:
        """Run whole cases for their digests, in order."""

    def picture(self, trace: Trace) -> list[Picture]:
        """Run one case and keep what was seen after every operation."""

    def close(self) -> None:
        """Let go of processes."""


class Live(Protocol):
    """What builds managers that can be asked one operation at a time."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked."""

    @property
    def opener(self) -> Opener:
        """Builds its managers. A manager may be gone when the next one is built."""


@runtime_checkable
class LiveTarget(Live, Target, Protocol):
    """A target whose managers can be built and asked one operation at a time."""


class CaseResult(msgspec.Struct, frozen=True):
    """`digests[i]` sums up what was seen after operation i. `refused` tells why construction failed.

    A case ends with the first operation that raises. `fault` is what the target did instead of answering
    the operation behind the last digest, or instead of construction.
    """

    digests: tuple[bytes, ...] = ()
    refused: str | None = None
    fault: str | None = None


class TargetGivenUpError(UserError):
    """A target can no longer be used; `results` are those of the cases of this call that it has answered."""

    def __init__(self, why: str, results: Sequence[CaseResult]) -> None:
        super().__init__(why)
        self.results = tuple(results)


def digest(observation: Observation, view: View) -> bytes:
    """A short hash of all that was seen. A view after an error is left out: it may be partial."""
    return Digester().digest(observation, view)


class Digester:
    """The digests of one manager's life: a state that stays as it was is summed up once."""

    def __init__(self) -> None:
        self._view: View | None = None
        self._state = blake2b(digest_size=DIGEST_BYTES)

    def digest(self, observation: Observation, view: View) -> bytes:
        """A short hash of all that was seen. A view after an error is left out: it may be partial."""
        seen = _encoder.encode(observation)
        if observation.error is not None:
            return blake2b(seen, digest_size=DIGEST_BYTES).digest()
        if view is not self._view:
            self._view = view
            self._state = blake2b(_encoder.encode(view), digest_size=DIGEST_BYTES)
        both = self._state.copy()
        both.update(seen)
        return both.digest()


def run_case(opened: Opener, trace: Trace) -> CaseResult:
    """Run a case in this process, for its digests."""
    try:
        session = opened(trace.configuration)
    except ConfigurationError as refusal:
        return CaseResult(refused=str(refusal))
    digester = Digester()
    digests = []
    for operation in trace.operations:
        observation = session.apply(operation)
        digests.append(digester.digest(observation, session.view()))
        if observation.error:
            break
    return CaseResult(tuple(digests))


def picture_case(opened: Opener, trace: Trace) -> list[Picture]:
    """Run a case in this process, and keep everything."""
    session = opened(trace.configuration)
    pictures = []
    for operation in trace.operations:
        observation = session.apply(operation)
        pictures.append(Picture(observation, session.view()))
        if observation.error:
            break
    return pictures
