"""What a campaign has seen: counts that add up, whoever counted and in whatever order.

Its size does not grow with the campaign: lengths are counted by length, configurations by a sketch,
findings by shape.
"""

from collections import Counter
from itertools import accumulate
from typing import Any, TypeVar

import msgspec

from kvref.fuzz.coverage import Coverage
from kvref.fuzz.findings import Findings
from kvref.fuzz.settings import Settings
from kvref.fuzz.sketch import Distinct
from kvref.judge import Finding
from kvref.operations import Configuration

Sent = TypeVar("Sent")


class Report(msgspec.Struct):
    """What a campaign has seen so far.

    `operations` counts those that were compared or, at level safe, performed; `lengths` has them by case.
    `coverage` counts the cases that were compared to their full length. `slots_checked` counts slots of
    tokens and states that the data plane saw read; `conflated` reads found what the key format conflates.
    `failure` is why it could not go on.
    """

    target: str
    settings: Settings
    cases: int = 0
    operations: int = 0
    refused_by_both: int = 0
    configurations: Distinct = msgspec.field(default_factory=Distinct)
    lengths: Counter[int] = msgspec.field(default_factory=Counter)
    whole: int = 0
    deviations: Counter[str] = msgspec.field(default_factory=Counter)
    found: Findings = msgspec.field(default_factory=Findings)
    coverage: Coverage = msgspec.field(default_factory=Coverage)
    witnessed: int = 0
    slots_checked: int = 0
    conflated: int = 0
    lacking: Counter[str] = msgspec.field(default_factory=Counter)
    """Why the target could not be asked for configurations that were drawn."""
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    """Why the target did not build configurations, at level safe."""
    by_feature: Counter[str] = msgspec.field(default_factory=Counter)
    """Operations of the cases that had a kind or feature, at level safe."""
    by_pair: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """The same of those that had both a kind and a feature."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    failure: str | None = None
    against: str = "reference"

    @property
    def findings(self) -> list[Finding]:
        """The shortest finding of each shape, by case number."""
        return list(self.found)

    def merge(self, other: "Report") -> None:
        """Add what another part of the campaign has seen."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            match mine:
                case Counter():
                    mine.update(theirs)
                case Distinct() | Findings():
                    mine.merge(theirs)
                case Coverage():
                    mine.add(theirs)
                case int() | float():
                    setattr(self, name, mine + theirs)

    def add_configuration(self, configuration: Configuration) -> None:
        """Count a configuration, unless it was seen before."""
        self.configurations.add(msgspec.msgpack.encode(configuration))

    @property
    def rate(self) -> float:
        """Operations for each second of processor time, all processes together."""
        return self.operations / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def pace(self) -> float:
        """Operations for each second of the clock."""
        return self.operations / self.wall_seconds if self.wall_seconds else 0.0

    @property
    def whole_share(self) -> float:
        """The share of the cases with operations that were compared to their full length."""
        cases = self.lengths.total()
        return self.whole / cases if cases else 1.0

    @property
    def median_length(self) -> int:
        """Operations compared in the median case, the lower one of two."""
        lengths = sorted(self.lengths)
        below = accumulate(self.lengths[length] for length in lengths)
        half = (self.lengths.total() + 1) // 2
        return next((length for length, cases in zip(lengths, below, strict=True) if cases >= half), 0)

    @property
    def timeless(self) -> "Report":
        """All that follows from the settings and the target alone: equal for equal campaigns."""
        return msgspec.structs.replace(self, cpu_seconds=0.0, wall_seconds=0.0, failure=None)


def encode(value: object) -> bytes:
    """A report, or what holds one, for a file or another process."""
    return msgspec.msgpack.encode(value)


def decode(raw: bytes, kind: type[Sent]) -> Sent:
    """What `encode` gave. Raises msgspec.MsgspecError if it is something else."""
    return msgspec.msgpack.decode(raw, type=kind, dec_hook=_counter)


def _counter(kind: type, raw: Any) -> object:
    """Counters are sent as what they are made of."""
    if getattr(kind, "__origin__", kind) is Counter:
        return Counter(raw)
    raise NotImplementedError(kind)
