"""Runs all implementations in turn, repetition after repetition, and checks that they answer alike."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter_ns as clock
from types import MappingProxyType
from typing import Protocol

from kvref.bench.driver import Driver
from kvref.bench.implementations import Implementation
from kvref.bench.meter import Meter
from kvref.bench.results import UNITS, Measured, Phase, PhaseFigures, WorkloadResult, tail_of
from kvref.bench.workloads import BLOCK, PROMPT, Workload, configured
from kvref.operations import FullGroup

HASHING = "hashing"
HASHED_REQUESTS = 8

Repetition = Callable[[Meter, bool], None]


class Subject(Protocol):
    """What is measured: something that every implementation does."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def title(self) -> str:
        """What it is, in a line."""

    @property
    def facts(self) -> Mapping[str, float]:
        """Statistics worth telling."""

    def open(self, implementation: Implementation) -> Repetition:
        """Prepare one implementation; what is returned does it once, thoroughly if asked."""


@dataclass(frozen=True)
class Driven:
    """A workload, on one manager for all repetitions."""

    workload: Workload

    @property
    def name(self) -> str:
        """The workload's."""
        return self.workload.name

    @property
    def title(self) -> str:
        """The workload's."""
        return self.workload.title

    @property
    def facts(self) -> Mapping[str, float]:
        """The workload's."""
        return self.workload.facts

    def open(self, implementation: Implementation) -> Repetition:
        """A manager, driven anew every time."""
        manager = implementation.manager(self.workload.configuration)

        def repeat(meter: Meter, thorough: bool) -> None:
            Driver(implementation, manager, self.workload, meter, thorough=thorough).run()

        return repeat


class Hashing:
    """Making requests that hash the blocks of their prompts; all other figures leave that out."""

    name = HASHING
    title = f"block hashes of {PROMPT}-token prompts (sha256)"
    facts: Mapping[str, float] = MappingProxyType({})

    def __init__(self, seed: int) -> None:
        rng = Random(f"{seed}/{HASHING}")  # noqa: S311 - no secret
        self._prompts = [[rng.randrange(150_000) for _ in range(PROMPT)] for _ in range(HASHED_REQUESTS)]
        self._configuration = configured([FullGroup(BLOCK)], 2)

    def open(self, implementation: Implementation) -> Repetition:
        """Requests made anew every time."""

        def repeat(meter: Meter, thorough: bool) -> None:
            del thorough
            for number, prompt in enumerate(self._prompts):
                start = clock()
                request = implementation.hashed(f"request-{number}", prompt, self._configuration)
                meter.add("hashing", clock() - start, blocks=PROMPT // BLOCK)
                for value in request.block_hashes:
                    meter.answered_bytes("hashing", value)

        return repeat


@dataclass
class _Runner:
    """One implementation at work, and its meters: the warm-up's first."""

    name: str
    repeat: Repetition
    meters: list[Meter] = field(default_factory=list)

    def run(self) -> None:
        """Once more; the first time thoroughly. What is garbage by then is collected first."""
        gc.collect()
        self.meters.append(Meter())
        self.repeat(self.meters[-1], len(self.meters) == 1)

    def measured(self) -> Measured:
        """The figures of all repetitions but the warm-up, which counted the blocks."""
        warm_up, *counted = self.meters
        phases: dict[Phase, PhaseFigures] = {
            phase: PhaseFigures(
                spent.calls,
                spent.blocks,
                tuple(meter.spent[phase].nanoseconds / 1e9 for meter in counted),
            )
            for phase, spent in warm_up.spent.items()
        }
        return Measured(self.name, phases, tail_of([ns for meter in counted for ns in meter.latencies]))


def measure(
    subject: Subject,
    implementations: Sequence[Implementation],
    repeats: int,
    tell: Callable[[str], None],
) -> WorkloadResult:
    """One warm-up and `repeats` repetitions of each implementation, in turns that begin with each.

    The collector runs as it does in an engine: on, with what was there before frozen. Ends at the
    first repetition in which an implementation fails or answers otherwise than the first one.
    """
    runners = []
    for implementation in implementations:
        try:
            runners.append(_Runner(implementation.name, subject.open(implementation)))
        except Exception as failure:  # noqa: BLE001 - an implementation may raise anything
            return _void(subject, f"{implementation.name} cannot be built: {_told(failure)}")
    gc.collect()
    gc.freeze()
    try:
        for repetition in range(repeats + 1):
            first = repetition % len(runners)
            turn = runners[first:] + runners[:first]
            for runner in turn:
                tell(f"{subject.name}: repetition {repetition} of {repeats}, {runner.name}")
                try:
                    runner.run()
                except Exception as failure:  # noqa: BLE001 - the same
                    return _void(subject, f"{runner.name} failed: {_told(failure)}")
                if phases := _differing(turn[0].meters[-1], runner.meters[-1]):
                    why = f"{runner.name} answers otherwise than {turn[0].name} in {', '.join(phases)}"
                    return _void(subject, why)
    finally:
        gc.unfreeze()
    measured = tuple(runner.measured() for runner in runners)
    return WorkloadResult(subject.name, subject.title, measured, _statistics(subject, runners[0].meters[0]))


def _void(subject: Subject, why: str) -> WorkloadResult:
    return WorkloadResult(subject.name, subject.title, (), disagreement=why)


def _told(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"


def _differing(one: Meter, other: Meter) -> list[Phase]:
    """The phases that were answered differently."""
    mine, theirs = one.digests(), other.digests()
    return [phase for phase in UNITS if mine.get(phase) != theirs.get(phase)]


def _statistics(subject: Subject, meter: Meter) -> dict[str, float]:
    """What the workload was like: of its requests, and of the run."""
    counts = meter.counts
    told = {name: float(counts[name]) for name in ("steps", "preemptions")}
    told["hit_rate"] = counts["hit_tokens"] / max(counts["looked_up_tokens"], 1)
    return dict(subject.facts) | told
