"""Moves as a trace that shows what is wrong behind them."""

from collections.abc import Sequence

import msgspec

from kvref.check.moves import Move, Scope
from kvref.check.playing import start
from kvref.compare import Difference
from kvref.operations import NewRequest, Operation, TakeNewBlockIds, TakeStats, Trace
from kvref.targets.picture import Opener


def trace_of(
    scope: Scope, moves: Sequence[Move], reference: Opener, subject: Opener
) -> tuple[Trace, list[Difference]]:
    """The operations of the moves, and what is wrong behind the last one.

    What the check asks for behind a move is left out where the rest shows something all the same.
    """
    playing = start(scope, reference, subject)
    operations: list[Operation] = []
    wrong: list[Difference] = []
    for move in moves:
        made = playing.make(move)
        operations += made.operations
        wrong = made.wrong
    operations = _renamed(operations)
    at = len(operations) - 2
    while at >= 0:
        fewer = [*operations[:at], *operations[at + 1 :]]
        if isinstance(operations[at], TakeNewBlockIds | TakeStats):
            still = _wrong(fewer, scope, reference, subject)
            operations, wrong = (fewer, still) if still else (operations, wrong)
        at -= 1
    return Trace(scope.configuration, tuple(operations)), wrong


def _wrong(
    operations: Sequence[Operation], scope: Scope, reference: Opener, subject: Opener
) -> list[Difference]:
    """What is wrong behind the last operation, or before it."""
    playing = start(scope, reference, subject)
    wrong: list[Difference] = []
    for operation in operations:
        _, wrong = playing.perform(operation)
        if wrong:
            break
    return wrong


def _renamed(operations: Sequence[Operation]) -> list[Operation]:
    """The same, where whoever comes later has a name of its own, as a scheduler owes [PROTO-11]."""
    names: dict[str, str] = {}
    renamed: list[Operation] = []
    arrivals = 0
    for operation in operations:
        if isinstance(operation, NewRequest):
            names[operation.request] = f"r{arrivals}"
            arrivals += 1
        name = getattr(operation, "request", None)
        renamed.append(operation if name is None else msgspec.structs.replace(operation, request=names[name]))
    return renamed
