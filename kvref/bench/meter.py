"""What one repetition is measured with: time, calls and blocks by phase, and a digest of the answers."""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from kvref.bench.results import Phase


@dataclass
class Spent:
    """One phase's nanoseconds, calls and blocks."""

    nanoseconds: int = 0
    calls: int = 0
    blocks: int = 0


def _digests() -> dict[Phase, Any]:
    return defaultdict(lambda: blake2b(digest_size=16))


@dataclass
class Meter:
    """One repetition of one implementation. `latencies` are single decode calls in nanoseconds."""

    spent: dict[Phase, Spent] = field(default_factory=lambda: defaultdict(Spent))
    latencies: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _answers: dict[Phase, Any] = field(default_factory=_digests)

    def add(self, phase: Phase, nanoseconds: int, *, calls: int = 1, blocks: int = 0) -> None:
        """Count calls to a phase."""
        spent = self.spent[phase]
        spent.nanoseconds += nanoseconds
        spent.calls += calls
        spent.blocks += blocks

    def answered(self, phase: Phase, numbers: list[int]) -> None:
        """Take an answer into the phase's digest: lengths and block ids."""
        self._answers[phase].update(array("q", [len(numbers), *numbers]).tobytes())

    def answered_bytes(self, phase: Phase, data: bytes) -> None:
        """Take an answer into the phase's digest."""
        self._answers[phase].update(data)

    def digests(self) -> dict[Phase, str]:
        """What was answered, by phase; equal for equal decisions."""
        return {phase: answers.hexdigest() for phase, answers in self._answers.items()}
