"""The process that measures, in an interpreter that has vLLM: one line of JSON a message.

What is printed besides goes to standard error, so that it cannot mix with the messages.
"""

import os
import platform
import sys
from collections.abc import Callable
from typing import IO

import msgspec

from kvref.bench.catalogue import build
from kvref.bench.footprint import footprint
from kvref.bench.implementations import Implementation, own_implementations
from kvref.bench.measure import HASHING, Driven, Hashing, Subject, measure
from kvref.bench.results import Footprint, WorkloadResult
from kvref.bench.workloads import FULL_SIZE, QUICK_SIZE

POOL = 1_000_000
QUICK_POOL = 100_000
CONSTRUCTIONS = 3


class Settings(msgspec.Struct, frozen=True):
    """What is to be run: workloads by name; `vllm` tells whether this interpreter's takes part."""

    workloads: tuple[str, ...]
    seed: int
    repeats: int
    quick: bool
    vllm: bool


class Began(msgspec.Struct, frozen=True, tag=True):
    """Sent first: who takes part, and why others do not."""

    release: str | None
    python: str
    absent: dict[str, str]
    parts: int


class Doing(msgspec.Struct, frozen=True, tag=True):
    """What is being measured now."""

    what: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Sent last."""


Message = Began | Doing | WorkloadResult | Footprint | Ended


def run(settings: Settings, send: Callable[[Message], None]) -> None:
    """Measure everything."""
    implementations, absent = own_implementations()
    release = None
    if settings.vllm:
        from kvref.bench.vllm import VllmImplementation  # noqa: PLC0415 - costs seconds

        implementations.append(VllmImplementation())
        release = VllmImplementation.release
    measure_all(settings, implementations, Began(release, platform.python_version(), absent, 0), send)


def measure_all(
    settings: Settings, implementations: list[Implementation], began: Began, send: Callable[[Message], None]
) -> None:
    """Hashing, each workload, and what a large pool costs: told one by one."""
    parts = 1 + len(settings.workloads) + len(implementations)
    send(msgspec.structs.replace(began, parts=parts))

    def tell(what: str) -> None:
        send(Doing(what))

    for name in (HASHING, *settings.workloads):
        send(measure(_subject(name, settings), implementations, settings.repeats, tell))
    for implementation in implementations:
        pool = QUICK_POOL if settings.quick else POOL
        send(footprint(implementation, pool, 1 if settings.quick else CONSTRUCTIONS, tell))
    send(Ended())


def _subject(name: str, settings: Settings) -> Subject:
    if name == HASHING:
        return Hashing(settings.seed)
    return Driven(build(name, settings.seed, QUICK_SIZE if settings.quick else FULL_SIZE))


def _main(settings: str, stream: IO[bytes]) -> None:
    def send(message: Message) -> None:
        stream.write(msgspec.json.encode(message) + b"\n")
        stream.flush()

    run(msgspec.json.decode(settings, type=Settings), send)


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _main(sys.argv[1], own_output)
