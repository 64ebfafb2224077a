"""A trace on a target that gives answers of its own: what is performed of it, and what is told of that."""

from typing import NamedTuple

import msgspec

from kvref.compare import Difference
from kvref.errors import ConfigurationError, UserError
from kvref.operations import Allocate, Operation, Trace
from kvref.protocol import Scheduler
from kvref.targets.base import Live
from kvref.targets.picture import Session


class Replayed(NamedTuple):
    """What is wrong, and the operation that showed it, by its line; None if the end of the trace did."""

    wrong: tuple[Difference, ...]
    at: int | None = None


class CannotFollowError(UserError):
    """A target's answers lead elsewhere than the trace goes."""


def open_for(trace: Trace, target: Live) -> Session:
    """A manager for the trace. Raises UserError if the target has none."""
    refused = target.capabilities.refuses(trace.configuration)
    if refused is not None:
        raise UserError(f"the trace needs another target: {refused}")
    try:
        return target.opener(trace.configuration)
    except ConfigurationError as refusal:
        raise UserError(f"{target.name} refuses the trace's configuration: {refusal}") from refusal


def with_hit(operation: Operation, scheduler: Scheduler) -> Operation:
    """An admission with what the lookup right before it has found; its end stays where it is."""
    found = scheduler.found
    if not isinstance(operation, Allocate) or operation.hit is None or found is None:
        return operation
    name, hit = found
    if name != operation.request or hit == operation.hit or hit < 0:
        return operation
    new = operation.new and operation.new + operation.hit - hit
    if new < 0 or (new == 0 and not operation.delay):
        return operation
    return msgspec.structs.replace(operation, hit=hit, new=new)
