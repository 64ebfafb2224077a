"""What an implementation under test offers: `open(configuration)`, then one operation after another.

Whole cases travel in one call, so that a process boundary costs little. A case is first run for its
digests, one an operation; pictures are made only where two digests differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import msgspec

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.operations import Configuration, Observation, Operation, Trace

DIGEST_BYTES = 8
_encoder = msgspec.msgpack.Encoder()


class Session(Protocol):
    """One manager, alive."""

    def apply(self, operation: Operation) -> Observation:
        """Perform the operation. A caller's mistake is told in the observation."""

    def view(self) -> View:
        """The manager's state, now."""


class Target(Protocol):
    """An implementation under test."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def run(self, traces: Sequence[Trace]) -> list["CaseResult"]:
        """Run whole cases for their digests, in order."""

    def picture(self, trace: Trace) -> list["Picture"]:
        """Run one case and keep what was seen after every operation."""

    def close(self) -> None:
        """Let go of processes."""


class Opener(Protocol):
    """Builds a manager in this process."""

    def __call__(self, configuration: Configuration, /) -> Session:
        """A manager of this configuration. Raises ConfigurationError if it is refused."""


class CaseResult(msgspec.Struct, frozen=True):
    """`digests[i]` sums up what was seen after operation i. `refused` tells why construction failed.

    A case ends with the first operation that raises.
    """

    digests: tuple[bytes, ...] = ()
    refused: str | None = None


@dataclass(frozen=True)
class Picture:
    """What was seen after one operation."""

    observation: Observation
    view: View


def digest(observation: Observation, view: View) -> bytes:
    """A short hash of all that was seen. A view after an error is left out: it may be partial."""
    seen = observation if observation.error else (observation, view)
    return blake2b(_encoder.encode(seen), digest_size=DIGEST_BYTES).digest()


def run_case(opened: Opener, trace: Trace) -> CaseResult:
    """Run a case in this process, for its digests."""
    try:
        session = opened(trace.configuration)
    except ConfigurationError as refusal:
        return CaseResult(refused=str(refusal))
    digests = []
    for operation in trace.operations:
        observation = session.apply(operation)
        digests.append(digest(observation, session.view()))
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
