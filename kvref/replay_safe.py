"""Replays a trace at level `safe`: on a target alone, with data behind its block ids."""

from typing import NamedTuple, TypeGuard

import msgspec

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import ConfigurationError, UserError, WrongAnswerError
from kvref.fuzz.safe import require_live
from kvref.operations import Allocate, GetBlocks, Operation, Trace
from kvref.protocol import Phase, Scheduler
from kvref.targets.base import Live, Target
from kvref.targets.picture import Session


class SafeReplay(NamedTuple):
    """What is wrong, and the operation that showed it, by its line; None if the end of the trace did."""

    wrong: tuple[Difference, ...]
    at: int | None = None


class CannotFollowError(UserError):
    """A target's answers lead elsewhere than the trace goes."""


def replay_safe(trace: Trace, target: Target) -> SafeReplay:
    """Perform a trace on a target, up to what is wrong: see `follow`.

    Raises UserError if the target cannot be asked one operation at a time.
    """
    return follow(trace, require_live(target))


def follow(trace: Trace, asked: Live) -> SafeReplay:
    """Perform a trace, up to what is wrong.

    An admission takes what the target's own lookup has found, and computes as far as the trace says;
    behind it the worker is told of the table. Raises UserError if the target cannot be asked, or if a
    scheduler that saw its answers could not go on as the trace does.
    """
    try:
        session = _open(trace, asked)
    except WrongAnswerError as fault:
        return SafeReplay((Difference(fault.what, fault.expected, fault.actual),))
    scheduler = Scheduler(trace.configuration.max_model_len, drafts=trace.configuration.max_model_len)
    safety = Safety(trace.configuration, asked.opener, as_specified=asked.capabilities.is_sound)
    following = [*trace.operations[1:], None]
    for line, (wanted, after) in enumerate(zip(trace.operations, following, strict=True)):
        operation = _with_hit(wanted, scheduler)
        impossible = asked.capabilities.lacks(operation) or scheduler.violation(operation)
        if impossible is not None:
            raise CannotFollowError(f"operation {line} cannot follow on {asked.name}: {impossible}")
        told = GetBlocks(operation.request) if _admits(operation, scheduler) else None
        observation, wrong = safety.performs(session, operation)
        if wrong:
            return SafeReplay(tuple(wrong), line)
        scheduler.record(operation, observation)
        if told is not None and observation.blocks is not None and after != told:
            wrong = safety.performs(session, told)[1]
            if wrong:
                return SafeReplay(tuple(wrong), line)
    return SafeReplay(tuple(safety.ends()))


def _open(trace: Trace, target: Live) -> Session:
    refused = target.capabilities.refuses(trace.configuration)
    if refused is not None:
        raise UserError(f"the trace needs another target: {refused}")
    try:
        return target.opener(trace.configuration)
    except ConfigurationError as refusal:
        raise UserError(f"{target.name} refuses the trace's configuration: {refusal}") from refusal


def _with_hit(operation: Operation, scheduler: Scheduler) -> Operation:
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


def _admits(operation: Operation, scheduler: Scheduler) -> TypeGuard[Allocate]:
    if not isinstance(operation, Allocate):
        return False
    book = scheduler.books.get(operation.request)
    return book is not None and book.phase is Phase.WAITING
