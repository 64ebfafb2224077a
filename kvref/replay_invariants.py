"""Replays a trace at level `invariants`: on a target alone, whose state is checked after every operation."""

from kvref.compare import Difference
from kvref.errors import KvrefError, UserError, WrongAnswerError
from kvref.following import CannotFollowError, Replayed, open_for, with_hit
from kvref.fuzz.safe import require_live
from kvref.operations import Operation, Trace
from kvref.protocol import Scheduler
from kvref.targets.base import Target
from kvref.targets.picture import Session
from kvref.witness import Witness


def replay_invariants(trace: Trace, target: Target) -> Replayed:
    """Perform a trace, up to the first operation behind which an invariant does not hold.

    An admission takes what the target's own lookup has found. A trace may end with a caller's mistake. Raises
    UserError if the target cannot be asked, or if a scheduler that saw its answers could not go on so.
    """
    asked = require_live(target)
    if not asked.capabilities.shows_state:
        raise UserError(f"{asked.name} shows no state: use --level safe")
    try:
        session = open_for(trace, asked)
    except WrongAnswerError as fault:
        return Replayed((Difference(fault.what, fault.expected, fault.actual),))
    scheduler = Scheduler(trace.configuration.max_model_len, drafts=trace.configuration.max_model_len)
    witness = Witness(trace.configuration)
    last = len(trace.operations) - 1
    for line, wanted in enumerate(trace.operations):
        operation = with_hit(wanted, scheduler)
        illegal = scheduler.violation(operation)
        impossible = asked.capabilities.lacks(operation) or (illegal if line < last else None)
        if impossible is not None:
            raise CannotFollowError(f"operation {line} cannot follow on {asked.name}: {impossible}")
        wrong = _perform(session, operation, scheduler, witness, is_mistake=illegal is not None)
        if wrong:
            return Replayed(wrong, line)
    return Replayed(())


def _perform(
    session: Session, operation: Operation, scheduler: Scheduler, witness: Witness, *, is_mistake: bool
) -> tuple[Difference, ...]:
    """What is wrong behind the operation. What a manager raises is wrong, too, if it is no named mistake."""
    try:
        observation = session.apply(operation)
        broken = witness.sees(operation, observation, session.view())
    except WrongAnswerError as fault:
        return (Difference(fault.what, fault.expected, fault.actual),)
    except KvrefError:
        raise
    except Exception as error:  # noqa: BLE001 - a faulty manager may raise anything
        return (Difference("raised", "nothing", f"{type(error).__name__}: {error}"),)
    if not is_mistake and observation.error is None:
        scheduler.record(operation, observation)
    return tuple(Difference(one.invariant, "holds", one.message) for one in broken)
