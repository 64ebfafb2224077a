"""Makes a trace shorter while it still shows what it showed: delta debugging over operations."""

from collections.abc import Callable, Sequence

from kvref.operations import NewRequest, Operation


def is_well_formed(operations: Sequence[Operation]) -> bool:
    """Whether every operation names a request that has arrived before."""
    arrived: set[str] = set()
    for operation in operations:
        name = getattr(operation, "request", None)
        if isinstance(operation, NewRequest):
            arrived.add(operation.request)
        elif name is not None and name not in arrived:
            return False
    return True


def shrink(
    operations: Sequence[Operation],
    still_shows: Callable[[Sequence[Operation]], bool],
    *,
    budget: int = 400,
) -> list[Operation]:
    """Drop operations, in ever smaller runs, as long as `still_shows` holds of what is left.

    At most `budget` attempts; deterministic. The last operation, which shows it, always stays.
    """
    kept = list(operations)
    size = max(1, len(kept) // 2)
    attempts = 0
    while attempts < budget:
        dropped = False
        start = max(0, len(kept) - 1 - size)
        while start >= 0 and attempts < budget:
            shorter = kept[:start] + kept[min(start + size, len(kept) - 1) :]
            attempts += 1
            if len(shorter) < len(kept) and is_well_formed(shorter) and still_shows(shorter):
                kept, dropped = shorter, True
            start -= size
        if size == 1 and not dropped:
            break
        size = max(1, size // 2)
    return kept
