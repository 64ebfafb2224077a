"""Effects: an operation changes what it is for, and nothing else."""

from collections.abc import Iterator

from invariants.allocation import released_first
from invariants.history import History
from invariants.protocols import step_invariant
from invariants.step import (
    Action,
    Allocate,
    BeginStep,
    Cache,
    Evict,
    Free,
    LookUp,
    Reset,
    Skip,
    Step,
    TakeStats,
)
from invariants.view import PARTS, Part, View, changed

RELEASING: frozenset[Part] = frozenset({"ref_counts", "free_queue", "tables", "usage"})
CACHING: frozenset[Part] = frozenset({"keys", "prefix_map", "handled", "step_keys"})
EFFECTS: dict[type[Action], frozenset[Part]] = {
    LookUp: frozenset({"stats"}),
    Allocate: RELEASING | CACHING,
    Free: RELEASING | {"handled"},
    Cache: CACHING,
    Skip: RELEASING,
    Evict: frozenset({"keys", "prefix_map"}),
    Reset: frozenset({"keys", "prefix_map", "stats"}),
    BeginStep: frozenset({"step_keys"}),
    TakeStats: frozenset({"stats"}),
}
"""What of a view each action may change: a question changes nothing, nor does a call that raises."""

KEPT: dict[type[Action], tuple[Part, ...]] = {
    action: tuple(part for part in PARTS if part not in effects) for action, effects in EFFECTS.items()
}
"""What of a view each action must leave as it is."""


def difference(before: View, after: View, name: Part) -> str:
    """How the field differs: entry by entry, where old and new entries correspond."""
    old, new = getattr(before, name), getattr(after, name)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return ", ".join(f"[{i}] from {was} to {now}" for i, (was, now) in pairs if was != now)
    return f"from {old} to {new}"


@step_invariant("effects-are-its-own", *PARTS)
def effects_are_its_own(before: View, step: Step, after: View, _history: History) -> Iterator[str]:
    """An operation changes nothing but what it is for; a question or a failed call nothing at all [HIT-9, PROTO-10]."""
    for name in changed(before, after, KEPT.get(type(step.action), PARTS)):
        yield f"{step.action} must not change {name}, but did: {difference(before, after, name)}"


@step_invariant("refusal-changes-nothing", of=(Allocate,))
def refusal_changes_nothing(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """A refused allocation releases what the request no longer reads, and changes nothing else [ALLOC-5, INV-10].

    One that was refused because the whole sequence does not fit need not even do that [ALLOC-3].
    """
    action = step.action
    if not isinstance(action, Allocate) or action.appended is not None:
        return
    for name in changed(before, after):
        if name in CACHING:
            yield f"the refused {action} changed {name}: {difference(before, after, name)}"
    own = after.tables.get(action.request)
    expected = (
        released_first(before, action, history.setting).tables if action.request in before.tables else None
    )
    if own != expected and not (action.must_fit and own == before.tables.get(action.request)):
        yield f"the refused {action} must leave its request the tables {expected}, but they are {own}"
