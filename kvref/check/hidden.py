"""What a manager keeps besides its picture, as far as it may decide by it.

Two states that look alike are one only if no manager can tell them apart. The reference shows all that it
decides by, but for tables without entries. The optimized manager also keeps how blocks lie together, what
lookups may skip, and when a table has something to do next.

Left out is what no later decision reads: how often content was lost (compared only within an admission), what
the last lookup found (read only by the allocation right behind it), and the group of a block without content.
"""

from kvref.check.names import Names
from kvref.optimized.runs import Run
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Session
from kvref.targets.reference import ReferenceSession

Form = object


def hidden_form(session: Session, names: Names) -> Form:
    """What the session's manager keeps besides its picture, names left out; None if nothing is known of it."""
    if isinstance(session, ReferenceSession):
        return _of_reference(session, names)
    if isinstance(session, OptimizedSession):
        return _of_optimized(session, names)
    return None


def _of_reference(session: ReferenceSession, names: Names) -> Form:
    return sorted(
        (names.requests[name], group.group_id, table.grown)
        for group in session.manager.groups
        for name, table in group.tables.items()
    )


def _of_optimized(session: OptimizedSession, names: Names) -> Form:
    manager, pool = session.manager, session.manager.pool
    stretches = [pool.stretches.of[block].blocks for block in names.blocks]
    runs = [None if one.runs is None else _runs(one.runs.of, names) for one in pool.maps]
    tables = sorted(
        (
            names.requests[name],
            *(own.released, own.grows_behind, own.releases_at, own.caches_at, own.quiet),
        )
        for name, own in manager.tables.items()
    )
    return [names.all(own) for own in stretches], runs, tables, pool.was_evicted_by_hand


def _runs(of: list[Run | None], names: Names) -> Form:
    """The runs that blocks are in, and those that they go on."""
    found: list[tuple[object, ...]] = []
    numbers: dict[int, int] = {}
    waiting = [run for block in names.blocks if block and (run := of[block]) is not None]
    while waiting:
        run = waiting.pop(0)
        if id(run) in numbers:
            continue
        numbers[id(run)] = len(numbers)
        found.append((run.start, run.lost, names.all(run.blocks[run.lost :]), run.grows, run.base))
        if run.base is not None:
            waiting.append(run.base)
    return [(*own, None if base is None else numbers[id(base)]) for *own, base in found]
