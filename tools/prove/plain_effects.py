"""What an operation may change, how it queues blocks and what it announces: each invariant finds a fault exactly where a plainer form of it is false."""

from collections import Counter
from dataclasses import replace

from invariants import allocation, effects, events, free_queue
from invariants.history import Hit
from invariants.step import (
    Action,
    Allocate,
    Append,
    BeginStep,
    Cache,
    Evict,
    Free,
    LookUp,
    Reset,
    Skip,
    Stored,
    TakeStats,
)
from invariants.view import PARTS, View
from spec.units import Tokens
from tools.prove.lemma import Lemma
from tools.prove.small import (
    EMPTY,
    FULL,
    SETTING,
    WINDOW,
    allocate,
    finds,
    past,
    record_of,
    setting_of,
)

OTHER = View(
    [0, 1, 0],
    [None, b"a", None],
    [2],
    [(b"a", [1])],
    {"a": []},
    {"a": []},
    [1],
    [b"a"],
    0.5,
    (False,) + (0,) * 6,
)
"""It has nothing in common with `EMPTY`."""
ACTIONS: tuple[Action, ...] = (
    Allocate("a", Tokens(0), Tokens(0), None, Tokens(0), Tokens(0), False, Tokens(0), False, ()),  # noqa: FBT003 - neither delayed nor asked to fit
    Free("a"),
    Skip("a", Tokens(0)),
    Cache("a", Tokens(0)),
    Evict(()),
    Reset(done=True),
    LookUp("a", (), Tokens(0)),
    TakeStats(),
    BeginStep(),
    Append("a", ()),
)
MAY_CHANGE: dict[str, tuple[type[Action], ...]] = {
    "ref_counts": (Allocate, Free, Skip),
    "keys": (Allocate, Cache, Evict, Reset),
    "free_queue": (Allocate, Free, Skip),
    "prefix_map": (Allocate, Cache, Evict, Reset),
    "tables": (Allocate, Free, Skip),
    "handled": (Allocate, Free, Cache),
    "reserved": (),
    "step_keys": (Allocate, Cache, BeginStep),
    "usage": (Allocate, Free, Skip),
    "stats": (LookUp, Reset, TakeStats),
}
"""By part of a view, the operations that it is there for."""


def only_its_own_operations_change_a_part(part: int, kind: int, same: bool) -> bool:
    """A part of the picture changes in those operations only that it is for [HIT-9, PROTO-10].

    pre: 0 <= part < 10 and 0 <= kind < 10
    post: __return__
    """
    name, action = PARTS[part], ACTIONS[kind]
    after = EMPTY if same else replace(EMPTY, **{name: getattr(OTHER, name)})
    wrong = not same and not isinstance(action, MAY_CHANGE[name])
    return finds(effects.effects_are_its_own, action, EMPTY, after) == wrong


def a_refusal_only_releases(computed: int, first: bool, keyed: bool, must_fit: bool, refused: bool) -> bool:
    """A refusal gives no key, and leaves a table without what its window is past: if all must fit, maybe whole [ALLOC-3, ALLOC-5, INV-10].

    pre: 0 <= computed <= 3
    post: __return__
    """
    before = replace(EMPTY, tables={"a": [[1]]})
    after = replace(before, tables={"a": [[1 if first else 0]]}, keys=[None, None, b"a" if keyed else None])
    past_it = computed > 1
    plain = not keyed and (first != past_it or (must_fit and first))
    action = allocate(computed=computed, must_fit=must_fit, appended=None if refused else ((),))
    history = past(setting_of(WINDOW))
    return finds(effects.refusal_changes_nothing, action, before, after, history) == (refused and not plain)


def a_refusal_makes_no_table(left: bool, must_fit: bool) -> bool:
    """A request that has no tables has none when it is refused [INV-10].

    post: __return__
    """
    after = replace(EMPTY, tables={"a": [[], []]} if left else {})
    action = allocate(must_fit=must_fit, appended=None)
    return finds(effects.refusal_changes_nothing, action, EMPTY, after) == left


def events_tell_what_is_found(on: bool, told: int, other: int, holders: int, silent: bool) -> bool:
    """By event hash and group as many blocks were announced as the map lists; with events off nothing is told [EVENT-3].

    pre: 0 <= told <= 3 and 0 <= other <= 1 and 0 <= holders <= 2
    post: __return__
    """
    key = b"\x00" * 7 + b"\x05" + b"\x00\x00\x00\x01"
    listed = ([], [(key, [1])], [(key, [1, 2])])[holders]
    history = past(replace(SETTING, events=on))
    history.announced = Counter({(5, 1): told, (5, 0): other})
    said = () if silent else (Stored((5,), 1),)
    after = replace(EMPTY, prefix_map=listed)
    wrong = (told != holders or other > 0) if on else not silent
    asked = not (on and silent and holders == 0)
    found = finds(events.events_replay_the_map, Append("a", ()), after=after, history=history, events=said)
    return found == (asked and wrong)


def a_free_queues_tail_first(window: bool, one: bool, two: bool, shared: bool, order: int) -> bool:
    """Freed blocks join the queue at its end, the last of a table first; those of a window without content at its front [FREE-1, FREE-2].

    pre: 0 <= order <= 5
    post: __return__
    """
    before = View(
        [0, 1, 2 if shared else 1, 0],
        [None, b"a" if one else None, b"b" if two else None, None],
        [3],
        [],
        {"a": [[1, 2]]},
        {},
        [],
        [],
        0.0,
        None,
    )
    free = [1] if shared else [2, 1]
    scratch = [block for block in free if window and not (one if block == 1 else two)]
    plain = [*scratch, 3, *(block for block in free if block not in scratch)]
    queues = ([2, 1, 3], [2, 3, 1], [3, 2, 1], [1, 3, 2], [1, 2, 3], [3, 1, 2])
    after = replace(before, free_queue=[b for b in queues[order] if not (shared and b == 2)])
    history = past(setting_of(WINDOW if window else FULL))
    found = finds(free_queue.queue_order, Free("a"), before, after, history)
    return found == (after.free_queue != plain)


def blocks_are_taken_from_the_front(
    one: bool, two: bool, three: bool, hit: int, bound: bool, turned: bool
) -> bool:
    """An allocation takes blocks from the queue's front; its hits leave it from anywhere, and nothing moves in it [POOL-4, POOL-6].

    pre: 0 <= hit <= 3
    post: __return__
    """
    record = replace(record_of(4), found=Hit(((hit,),), Tokens(1)))
    before = replace(EMPTY, free_queue=[1, 2, 3])
    left = [block for block, stays in ((1, one), (2, two), (3, three)) if stays]
    after = replace(EMPTY, free_queue=left[::-1] if turned else left, tables={"a": [[hit if bound else 0]]})
    others = [block for block in (1, 2, 3) if not (bound and block == hit)]
    in_front = all(
        block in left for place, taken in enumerate(others) if taken in left for block in others[place:]
    )
    plain = in_front and all(block in others for block in left) and not (turned and len(left) > 1)
    history = past(setting_of(FULL), a=record)
    return finds(free_queue.queue_order, allocate(hit=1, appended=((),)), before, after, history) == (
        not plain
    )


QUEUES = ([2], [1, 2], [2, 1])


def what_is_past_is_queued_by_its_content(
    kind: int, computed: int, keyed: bool, must_fit: bool, after: int
) -> bool:
    """What a window is past is queued behind all if it has content, else before them; a refusal where all must fit may leave it [SKIP-3, ALLOC-5].

    pre: 0 <= kind <= 1 and 0 <= computed <= 2 and 0 <= after <= 2
    post: __return__
    """
    before = replace(
        EMPTY,
        ref_counts=[0, 1, 0],
        keys=[None, b"a" if keyed else None, None],
        free_queue=[2],
        tables={"a": [[1]]},
    )
    plain = 0 if computed <= 1 else 2 if keyed else 1
    refused = allocate(computed=computed, must_fit=must_fit, appended=None)
    action: Action = refused if kind == 0 else Skip("a", Tokens(computed))
    allowed = after == plain or (kind == 0 and must_fit and after == 0)
    left = replace(before, free_queue=QUEUES[after])
    return finds(free_queue.queue_order, action, before, left, past(setting_of(WINDOW))) == (not allowed)


def other_operations_leave_the_queue(kind: int, first: int, second: int) -> bool:
    """What neither allocates nor releases leaves the queue in its order [POOL-4].

    pre: 3 <= kind < 10 and 1 <= first <= 2 and 1 <= second <= 2
    post: __return__
    """
    after = replace(EMPTY, free_queue=[first, second])
    return finds(free_queue.queue_order, ACTIONS[kind], EMPTY, after) == ((first, second) != (1, 2))


LEMMAS = (
    Lemma(only_its_own_operations_change_a_part, (effects.effects_are_its_own,)),
    Lemma(a_refusal_only_releases, (effects.refusal_changes_nothing,)),
    Lemma(a_refusal_makes_no_table, (effects.refusal_changes_nothing,)),
    Lemma(events_tell_what_is_found, (events.events_replay_the_map, events.cached)),
    Lemma(a_free_queues_tail_first, (free_queue.queue_order, allocation.after_free)),
    Lemma(
        blocks_are_taken_from_the_front,
        (free_queue.queue_order, allocation.bound_hits),
    ),
    Lemma(what_is_past_is_queued_by_its_content, (free_queue.queue_order, allocation.after_skip)),
    Lemma(other_operations_leave_the_queue, (free_queue.queue_order,)),
)
