"""KV events: whoever replays them knows what is cached."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from invariants.history import EventCounts, History
from invariants.protocols import step_invariant
from invariants.step import Step
from invariants.view import View
from spec.content import event_hash, group_of, hash_of
from spec.units import BlockKey


def cached(view: View) -> EventCounts:
    """How many blocks can be found, by (event hash, group) [HASH-9, HASH-11]."""
    counts: EventCounts = Counter()
    for key, holders in view.prefix_map:
        counts[_name(key)] += len(holders)
    return counts


@lru_cache(maxsize=1 << 12)
def _name(key: bytes) -> tuple[int, int]:
    name = BlockKey(key)
    return event_hash(hash_of(name)), group_of(name)


@step_invariant("events-replay-the-map", of=None)
def events_replay_the_map(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """A consumer of all events knows, by event hash and group, how many blocks can be found [EVENT-3 to EVENT-5]."""
    if not history.setting.events:
        if step.events:
            yield f"events are off, but {step.action} recorded {len(step.events)}"
        return
    if not step.events and before.prefix_map == after.prefix_map:
        return
    found = cached(after)
    for name in sorted(found.keys() | history.announced.keys()):
        number, group = name
        if found[name] != history.announced[name]:
            yield (
                f"after {step.action} the events tell of {history.announced[name]} blocks with event hash "
                f"{number} in group {group}, but {found[name]} can be found"
            )
