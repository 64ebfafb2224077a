"""Holds a target against the expectations of a suite. The reference is asked only to name known deviations."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kvref.compare import Difference, differences
from kvref.errors import ConfigurationError
from kvref.judge import replay_to
from kvref.operations import Allocate, Evict, Lookup, Observation, Operation
from kvref.targets.base import LiveTarget, Target, digest
from kvref.targets.deviations import Catalogue, Deviation, met_at_construction, met_by
from kvref.targets.picture import Opener
from kvref.vectors.form import Vector, VectorFile

Level = Literal["exact", "hits"]


@dataclass(frozen=True)
class Failure:
    """The first difference of a vector: the operation, by its line, None for construction."""

    vector: Vector
    at: int | None
    differences: tuple[Difference, ...]


@dataclass
class Tally:
    """What came of the vectors of one file. `known` counts by deviation, `not_asked` by reason."""

    vectors: int = 0
    agreed: int = 0
    known: Counter[str] = field(default_factory=Counter)
    not_asked: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


def run(
    files: Mapping[str, VectorFile], target: Target, level: Level, opener: Opener, known: Catalogue = ()
) -> dict[str, Tally]:
    """Hold the target against all vectors.

    `known` may differ, and what the target's catalogue has; `opener` builds references for recognisers.
    """
    catalogue = (*known, *target.catalogue)
    return {path: _run_file(file.vectors, target, level, opener, catalogue) for path, file in files.items()}


def _run_file(
    vectors: Iterable[Vector], target: Target, level: Level, opener: Opener, catalogue: Catalogue
) -> Tally:
    tally = Tally()
    for vector in vectors:
        tally.vectors += 1
        lacking = _lacking(vector, target, level)
        if lacking is not None:
            tally.not_asked[lacking] += 1
            continue
        failure = _exact(vector, target) if level == "exact" else _hits(vector, target)
        known = None if failure is None else _known(failure, catalogue, opener)
        if failure is None:
            tally.agreed += 1
        elif known is not None:
            tally.known[known.id] += 1
        else:
            tally.failures.append(failure)
    return tally


def _lacking(vector: Vector, target: Target, level: Level) -> str | None:
    """Why the vector cannot be asked."""
    if level == "hits" and any(isinstance(step.operation, Evict) for step in vector.steps):
        return "Evict names blocks, which level hits leaves to the manager"
    return target.capabilities.lacks_for(vector.trace()) if isinstance(target, LiveTarget) else None


def _exact(vector: Vector, target: Target) -> Failure | None:
    """The first operation after which anything differs."""
    (result,) = target.run([vector.trace()])
    failure = _construction(vector, result.refused)
    if failure is not None or vector.refused is not None:
        return failure
    expected = vector.pictures()
    due = tuple(digest(picture.observation, picture.view) for picture in expected)
    if due == result.digests:
        return None
    shown = target.picture(vector.trace())
    for at, (mine, theirs) in enumerate(zip(expected, shown, strict=False)):
        found = differences(mine, theirs)
        if found:
            return Failure(vector, at, tuple(found))
    told = Difference("operations performed", str(len(expected)), str(len(shown)))
    return Failure(vector, min(len(shown), len(expected) - 1), (told,))


def _hits(vector: Vector, target: Target) -> Failure | None:
    """The first operation with another hit length, another admission or refusal, or another error."""
    if isinstance(target, LiveTarget):
        try:
            session = target.opener(vector.configuration)
        except ConfigurationError as refusal:
            return _construction(vector, str(refusal))
        seen: Iterable[Observation] = (session.apply(step.operation) for step in vector.steps)
    else:
        (result,) = target.run([vector.trace()])
        if result.refused is not None:
            return _construction(vector, result.refused)
        seen = (picture.observation for picture in target.picture(vector.trace()))
    if vector.refused is not None:
        return _construction(vector, None)
    for at, (step, observation) in enumerate(zip(vector.steps, seen, strict=False)):
        due, shown = _hit_level(step.operation, step.returned), _hit_level(step.operation, observation)
        if due != shown:
            return Failure(vector, at, (Difference(type(step.operation).__name__, due, shown),))
    return None


def _hit_level(operation: Operation, observation: Observation) -> str:
    if observation.error is not None:
        return f"raises {observation.error}"
    if isinstance(operation, Lookup):
        return f"{observation.tokens} tokens"
    if isinstance(operation, Allocate):
        return "refused" if observation.blocks is None else "admitted"
    return "returns"


def _construction(vector: Vector, refused: str | None) -> Failure | None:
    if (vector.refused is None) == (refused is None):
        return None
    told = Difference("construction", vector.refused or "built", refused or "built")
    return Failure(vector, None, (told,))


def _known(failure: Failure, catalogue: Catalogue, opener: Opener) -> Deviation | None:
    if not catalogue:
        return None
    if failure.at is None:
        return met_at_construction(catalogue, failure.vector.configuration)
    return met_by(catalogue, replay_to(opener, failure.vector.trace(), failure.at))
