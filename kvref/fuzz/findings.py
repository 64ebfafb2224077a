"""Findings of one kind are one: what differed, after which operation, in which sort of configuration.

Of each shape the shortest trace is kept, and how many there were. What is kept does not depend on the
order in which findings come, nor on who found them.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from kvref.fuzz.coverage import features_of
from kvref.judge import Finding

MOST_SHAPES = 500
"""Memory is bounded: of more shapes than this some, the same in any order, are counted only."""


class Shape(msgspec.Struct, frozen=True, order=True):
    """What findings that are one have in common."""

    operation: str
    what: tuple[str, ...]
    """The names of what differed, or of the broken invariants, without request names and numbers."""
    features: tuple[str, ...]
    """The kinds and features of the configuration."""

    @property
    def key(self) -> str:
        """Names it; the order of these keys has nothing to do with what the shapes are."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=8).hexdigest()


class Found(msgspec.Struct):
    """All findings of one shape: how many, and the one with the shortest trace."""

    shape: Shape
    shortest: Finding
    count: int = 1

    @property
    def rank(self) -> tuple[int, int]:
        """The shortest trace first, and the lower case number of two that are equally short."""
        return len(self.shortest.trace.operations), self.shortest.trace.case or 0


def shape_of(finding: Finding) -> Shape:
    """What would make another finding the same."""
    operations = finding.trace.operations
    names = {str(getattr(operation, "request", "")) for operation in operations}

    def bare(text: str) -> str:
        words = (word for word in re.split(r"\s+", text) if word not in names)
        return " ".join(re.sub(r"\d+", "", word) for word in words).strip()

    return Shape(
        "construction" if finding.operation is None else type(finding.operation).__name__,
        tuple(sorted({bare(difference.what) for difference in finding.differences})),
        tuple(sorted(features_of(finding.trace.configuration))),
    )


class Findings(msgspec.Struct):
    """What a campaign has found, by shape. `total` counts all findings."""

    total: int = 0
    kept: dict[str, Found] = msgspec.field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.total += 1
        shape = shape_of(finding)
        self._keep(shape.key, Found(shape, finding))
        self._trim()

    def merge(self, other: "Findings") -> None:
        """Count what another has found."""
        self.total += other.total
        for key, found in other.kept.items():
            self._keep(key, found)
        self._trim()

    def _keep(self, key: str, found: Found) -> None:
        mine = self.kept.get(key)
        if mine is None:
            self.kept[key] = Found(found.shape, found.shortest, found.count)
            return
        mine.count += found.count
        if found.rank < mine.rank:
            mine.shortest = found.shortest

    def _trim(self) -> None:
        """Drop the shapes with the greatest keys: any that stays was never dropped by anyone."""
        for key in sorted(self.kept)[MOST_SHAPES:]:
            del self.kept[key]

    def __iter__(self) -> Iterator[Finding]:
        """The shortest of each shape, by case number."""
        shortest = (found.shortest for found in self.kept.values())
        return iter(sorted(shortest, key=lambda finding: finding.trace.case or 0))

    def __len__(self) -> int:
        """How many shapes are kept."""
        return len(self.kept)

    def sorts(self) -> list[list[Found]]:
        """The shapes, those that differ in the configuration alone together; the most frequent first."""
        sorts: dict[tuple[str, tuple[str, ...]], list[Found]] = {}
        for found in sorted(self.kept.values(), key=lambda one: (one.rank, one.shape)):
            sorts.setdefault((found.shape.operation, found.shape.what), []).append(found)
        return sorted(sorts.values(), key=lambda alike: -sum(found.count for found in alike))
