"""Replays a trace at level `safe`: on a target alone, with data behind its block ids."""

from typing import TypeGuard

from kvref.compare import Difference
from kvref.dataplane.safety import Safety
from kvref.errors import WrongAnswerError
from kvref.following import CannotFollowError, Replayed, open_for, with_hit
from kvref.fuzz.safe import require_live
from kvref.operations import Allocate, GetBlocks, Operation, Trace
from kvref.protocol import Phase, Scheduler
from kvref.targets.base import Live, Target


def replay_safe(trace: Trace, target: Target) -> Replayed:
    """Perform a trace on a target, up to what is wrong: see `follow`.

    Raises UserError if the target cannot be asked one operation at a time.
    """
    return follow(trace, require_live(target))


def follow(trace: Trace, asked: Live) -> Replayed:
    """Perform a trace, up to what is wrong.

    An admission takes what the target's own lookup has found, and computes as far as the trace says;
    behind it the worker is told of the table. Raises UserError if the target cannot be asked, or if a
    scheduler that saw its answers could not go on as the trace does.
    """
    try:
        session = open_for(trace, asked)
    except WrongAnswerError as fault:
        return Replayed((Difference(fault.what, fault.expected, fault.actual),))
    scheduler = Scheduler(trace.configuration.max_model_len, drafts=trace.configuration.max_model_len)
    safety = Safety(trace.configuration, asked.opener, as_specified=asked.capabilities.is_sound)
    following = [*trace.operations[1:], None]
    for line, (wanted, after) in enumerate(zip(trace.operations, following, strict=True)):
        operation = with_hit(wanted, scheduler)
        impossible = asked.capabilities.lacks(operation) or scheduler.violation(operation)
        if impossible is not None:
            raise CannotFollowError(f"operation {line} cannot follow on {asked.name}: {impossible}")
        told = GetBlocks(operation.request) if _admits(operation, scheduler) else None
        observation, wrong = safety.performs(session, operation)
        if wrong:
            return Replayed(tuple(wrong), line)
        scheduler.record(operation, observation)
        if told is not None and observation.blocks is not None and after != told:
            wrong = safety.performs(session, told)[1]
            if wrong:
                return Replayed(tuple(wrong), line)
    return Replayed(tuple(safety.ends()))


def _admits(operation: Operation, scheduler: Scheduler) -> TypeGuard[Allocate]:
    if not isinstance(operation, Allocate):
        return False
    book = scheduler.books.get(operation.request)
    return book is not None and book.phase is Phase.WAITING
