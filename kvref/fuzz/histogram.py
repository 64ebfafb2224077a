"""How often a kind and a feature met in an event: what a campaign has reached, and what hardly.

Cells that cannot be filled are excused, each by a rule that says why.
"""

from typing import NamedTuple

from kvref.fuzz.coverage import EVENTS, FEATURES, KINDS, Coverage


class Cell(NamedTuple):
    """A kind and a feature, in an event."""

    kind: str
    feature: str
    event: str

    def __str__(self) -> str:
        """In words."""
        return f"{self.kind}, {self.feature}, {self.event}"


class Excuse(NamedTuple):
    """Why cells cannot be filled: those of these kinds, features and events; of all where none are named."""

    rule: str
    kinds: tuple[str, ...]
    features: tuple[str, ...]
    events: tuple[str, ...]
    why: str

    def covers(self, cell: Cell) -> bool:
        """Whether it excuses this cell."""
        named = zip(cell, (self.kinds, self.features, self.events), strict=True)
        return all(name in names or not names for name, names in named)


WINDOWS_AND_STATES = ("sliding", "sliding_mla", "chunked", "mamba none", "mamba all", "mamba align", "cross")

EXCUSES = (
    Excuse("Q-6", ("sink",), (), (), "sinks are built by nobody but the reference"),
    Excuse("CROSS-3", ("cross",), (), ("hit", "eviction"), "there is none with caching on"),
    Excuse("CROSS-1", ("cross",), ("one group",), (), "a decoder has attention to itself beside it"),
    Excuse("COORD-3", (), ("caching off",), ("hit",), "nothing is looked up"),
    Excuse("CFG-2", (), ("caching off",), ("eviction",), "no block has content"),
    Excuse("HIT-8", (), ("skips reading",), ("hit",), "nothing is looked up"),
    Excuse("CHUNK-1", ("chunked",), ("EAGLE",), (), "refused together"),
    Excuse("DCP-1", WINDOWS_AND_STATES, ("context parallel",), (), "it serves full attention alone"),
)

CELLS = [Cell(kind, feature, event) for kind in KINDS for feature in FEATURES for event in EVENTS]

DUE = [cell for cell in CELLS if not any(excuse.covers(cell) for excuse in EXCUSES)]
"""The cells that a campaign should fill."""


def below_floor(coverage: Coverage, floor: int) -> list[Cell]:
    """The cells with fewer visits, the least visited first."""
    below = [cell for cell in DUE if coverage.cells[cell] < floor]
    return sorted(below, key=lambda cell: (coverage.cells[cell], cell))


def nested(coverage: Coverage) -> dict[str, dict[str, dict[str, int]]]:
    """The whole histogram, by kind, feature and event."""
    return {
        kind: {
            feature: {event: coverage.cells[kind, feature, event] for event in EVENTS} for feature in FEATURES
        }
        for kind in KINDS
    }
