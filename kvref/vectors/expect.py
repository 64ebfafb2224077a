"""What must be seen on a trace: from a manager that is held against the invariants and the data meanwhile."""

from dataclasses import dataclass

from msgspec.structs import replace

from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError, UserError
from kvref.operations import Trace
from kvref.targets.picture import Opener, Picture
from kvref.vectors.form import Vector, steps_of
from kvref.vectors.state import state_of
from kvref.witness import Witness


@dataclass
class Checked:
    """How much was checked independently: operations by the invariants, slots read by the data plane."""

    operations: int = 0
    slots: int = 0


def expect(vector: Vector, trace: Trace, opener: Opener, checked: Checked, *, careful: bool) -> Vector:
    """The vector with the trace's steps. The scheduler of a `careful` one keeps what no manager can know.

    Raises UserError if the trace breaks an invariant, if a read finds what it should not in a careful
    one, or if it goes on behind an error.
    """
    try:
        initial = state_of(opener(trace.configuration).view())
    except ConfigurationError as refusal:
        return replace(vector, refused=str(refusal))
    pictures = _pictures(vector.name, trace, opener, checked, careful=careful)
    return replace(vector, initial=initial, steps=steps_of(initial, trace, pictures))


def _pictures(name: str, trace: Trace, opener: Opener, checked: Checked, *, careful: bool) -> list[Picture]:
    session, witness = opener(trace.configuration), Witness(trace.configuration)
    safety = Safety(trace.configuration, opener, as_specified=True) if careful else None
    pictures: list[Picture] = []
    for line, operation in enumerate(trace.operations):
        if pictures and pictures[-1].observation.error is not None:
            raise UserError(f"{name}: operation {line} follows an error: end the trace there")
        seen = Picture(session.apply(operation), session.view())
        pictures.append(seen)
        wrong = [f"{v.invariant}: {v.message}" for v in witness.sees(operation, seen.observation, seen.view)]
        if safety is not None and seen.observation.error is None:
            wrong += [f"{d.what}: {d.actual}" for d in safety.sees(operation, seen.observation)]
        if wrong:
            raise UserError(f"{name}: operation {line} is wrong in itself, so there is no vector: {wrong[0]}")
    checked.operations += len(pictures)
    checked.slots += safety.checked if safety is not None else 0
    return pictures
