"""What a benchmark finds, as it travels from the worker and into `--json`. Times are in seconds."""

from statistics import geometric_mean, median, quantiles
from typing import Final, Literal

import msgspec

Phase = Literal["hashing", "miss", "lookup", "adopt", "prefill", "evict", "ids", "decode", "free"]
Unit = Literal["call", "block"]

UNITS: Final[dict[Phase, Unit]] = {
    "hashing": "block",
    "miss": "call",
    "lookup": "block",
    "adopt": "block",
    "prefill": "block",
    "evict": "block",
    "ids": "block",
    "decode": "call",
    "free": "block",
}
MEANINGS: Final[dict[Phase, str]] = {
    "hashing": "a request is made with its block hashes",
    "miss": "get_computed_blocks without a hit",
    "lookup": "get_computed_blocks, a hit block",
    "adopt": "allocate_slots with hits, a block hit or taken",
    "prefill": "allocate_slots of a chunk, a block taken",
    "evict": "the same where every block taken is evicted",
    "ids": "get_block_ids of what a prefill returned",
    "decode": "allocate_slots of one token",
    "free": "free, a block held",
}
SUMMED: Final[tuple[Phase, ...]] = ("lookup", "prefill", "decode", "free")


class PhaseFigures(msgspec.Struct, frozen=True):
    """One phase: `seconds[i]` is what its `calls` took in repetition i, in which they moved `blocks`."""

    calls: int
    blocks: int
    seconds: tuple[float, ...]

    def microseconds(self, unit: Unit) -> list[float]:
        """By repetition, what one unit took."""
        count = self.calls if unit == "call" else self.blocks
        return [second / max(count, 1) * 1e6 for second in self.seconds]


class Tail(msgspec.Struct, frozen=True):
    """Single decode calls, timed one by one: the median, rare ones and the longest."""

    calls: int
    p50: float
    p99: float
    p999: float
    longest: float


class Measured(msgspec.Struct, frozen=True):
    """One implementation on one workload."""

    implementation: str
    phases: dict[Phase, PhaseFigures]
    tail: Tail | None = None


class WorkloadResult(msgspec.Struct, frozen=True, tag=True):
    """All implementations on one workload. With a `disagreement` the figures are void."""

    name: str
    title: str
    measured: tuple[Measured, ...]
    statistics: dict[str, float] = {}
    disagreement: str | None = None

    def of(self, implementation: str) -> Measured | None:
        """One implementation's part, if it was there."""
        return next((m for m in self.measured if m.implementation == implementation), None)


class Footprint(msgspec.Struct, frozen=True, tag=True):
    """A manager with a large pool, by itself.

    `collect_seconds` is one full garbage collection while it lives. Bytes a block are what Python
    allocates for an unused pool, and for one whose blocks all hold content.
    """

    implementation: str
    num_blocks: int
    construct_seconds: tuple[float, ...]
    collect_seconds: float
    bytes_a_block: float
    bytes_a_cached_block: float


class ReleaseResult(msgspec.Struct, frozen=True):
    """What one process found: the implementations beside one release of vLLM, or beside none."""

    release: str | None
    python: str
    absent: dict[str, str]
    workloads: tuple[WorkloadResult, ...]
    footprints: tuple[Footprint, ...]

    @property
    def baseline(self) -> str:
        """Whom ratios are to: vLLM, where it is there."""
        return "reference" if self.release is None else f"vllm=={self.release}"

    @property
    def disagreements(self) -> list[str]:
        """Where implementations answered differently."""
        return [f"{w.name}: {w.disagreement}" for w in self.workloads if w.disagreement]


class BenchResult(msgspec.Struct, frozen=True):
    """All of a `kvref bench`; `phases` tells what each phase is."""

    machine: str
    seed: int
    quick: bool
    repeats: int
    seconds: float
    releases: tuple[ReleaseResult, ...]
    phases: dict[Phase, str] = msgspec.field(default_factory=lambda: MEANINGS)


def ratio(workload: WorkloadResult, phase: Phase, implementation: str, baseline: str) -> float | None:
    """How many times faster than the baseline: the median of the repetitions' own ratios."""
    own, other = workload.of(implementation), workload.of(baseline)
    if own is None or other is None or phase not in own.phases or phase not in other.phases:
        return None
    pairs = zip(own.phases[phase].seconds, other.phases[phase].seconds, strict=True)
    return median(theirs / max(mine, 1e-12) for mine, theirs in pairs)


def mean_ratio(workload: WorkloadResult, implementation: str, baseline: str) -> float | None:
    """The geometric mean of the ratios in lookup, prefill, decode and free."""
    ratios = [ratio(workload, phase, implementation, baseline) for phase in SUMMED]
    present = [r for r in ratios if r is not None]
    return geometric_mean(present) if len(present) == len(SUMMED) else None


def spread(values: list[float]) -> float:
    """Half the range between the quartiles, as a part of the median."""
    if len(values) <= 1:
        return 0.0
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle if middle else 0.0


def tail_of(nanoseconds: list[int]) -> Tail | None:
    """The distribution of single calls."""
    if not nanoseconds:
        return None
    ranked = sorted(nanoseconds)

    def at(share: float) -> float:
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)] / 1e9

    return Tail(len(ranked), at(0.5), at(0.99), at(0.999), ranked[-1] / 1e9)
