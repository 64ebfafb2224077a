"""What a catalogue of known deviations is made of.

A deviation is a place where an implementation departs from the reference, and is known to. Its
recogniser looks at the configuration, at the state before the operation and at the operation, never
at what came out: so a deviation cannot hide another one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from kvref.operations import Configuration, Operation
from kvref.targets.picture import Session


class Verdict(Enum):
    """How bad a deviation is."""

    UNSAFE = "unsafe"
    SUBOPTIMAL = "suboptimal"
    COSMETIC = "cosmetic"


@dataclass(frozen=True)
class Situation:
    """The reference right before `operation`."""

    configuration: Configuration
    session: Session
    operation: Operation


@dataclass(frozen=True)
class Deviation:
    """One entry of a catalogue.

    `rule` is the rule that the implementation departs from. `concerns` tells the configurations in
    which it can be met at all, `recognises` the situations. A deviation of construction is one that
    `concerns` a configuration which only one side refuses, and recognises nothing.
    """

    id: str
    rule: str
    releases: tuple[str, ...]
    verdict: Verdict
    title: str
    concerns: Callable[[Configuration], bool]
    recognises: Callable[[Situation], bool]
    at_construction: bool = False


Catalogue = tuple[Deviation, ...]


def met_by(catalogue: Catalogue, situation: Situation) -> Deviation | None:
    """The first deviation that the situation shows, if any."""
    return next(
        (
            deviation
            for deviation in catalogue
            if not deviation.at_construction
            and deviation.concerns(situation.configuration)
            and deviation.recognises(situation)
        ),
        None,
    )


def met_at_construction(catalogue: Catalogue, configuration: Configuration) -> Deviation | None:
    """The deviation that makes one side refuse the configuration, if any."""
    return next(
        (d for d in catalogue if d.at_construction and d.concerns(configuration)),
        None,
    )
