"""Short histories."""

from kvref.operations import Allocate, Free, Operation, StepEnds


def admission(name: str, new: int) -> list[Operation]:
    """A request's first blocks, used and given back."""
    return [Allocate(name, 0, new), StepEnds(), Free(name)]
