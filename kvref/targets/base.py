"""What an implementation under test offers: `open(configuration)`, then one operation after another.

Whole cases travel in one call, so that a process boundary costs little. A case is first run for its
digests, one an operation; pictures are made only where two digests differ.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

import msgspec

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.operations import Observation, Trace
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


class CaseResult(msgspec.Struct, frozen=True):
    """`digests[i]` sums up what was seen after operation i. `refused` tells why construction failed.

    A case ends with the first operation that raises.
    """

    digests: tuple[bytes, ...] = ()
    refused: str | None = None


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
