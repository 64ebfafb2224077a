"""What a release and an allocation imply, for the invariants that share it.

Nothing here predicts an implementation: a release follows from `spec.eviction` and the tables
before it; which blocks an allocation took follows from what left the free queue.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from operator import is_
from typing import ParamSpec, TypeVar, cast

from invariants.history import History, Hit
from invariants.setting import GroupSetting, Setting
from invariants.step import Allocate
from invariants.view import View
from spec import capacity
from spec.attention import Attention
from spec.eviction import Release, queue_after, release_on_free, skipped_entries, split_by_content
from spec.units import NULL_BLOCK, BlockId, Blocks, Tokens

Tables = list[list[int]]
P = ParamSpec("P")
T = TypeVar("T")


def once_a_step(work: Callable[P, T]) -> Callable[P, T]:
    """Let what several invariants ask of one step be worked out once: the last answer stands for the same objects."""
    last: tuple[tuple[object, ...], T] | None = None

    @wraps(work)
    def asked(*args: P.args, **named: P.kwargs) -> T:
        nonlocal last
        given = (*args, *named.values()) if named else args
        if last is None or not all(map(is_, last[0], given)):
            last = given, work(*args, **named)
        return last[1]

    return asked


@dataclass(frozen=True, slots=True)
class Released:
    """The free queue and one request's tables after a release."""

    queue: list[int]
    tables: Tables
    blocks: tuple[int, ...]


def after_skip(view: View, request: str, computed: Tokens, setting: Setting) -> Released:
    """What releasing all that is not read behind `computed` tokens leads to [SKIP-1 to SKIP-4]."""
    tables, releases = [], []
    for group, table in _tables(view, request, setting):
        skip = skipped_entries(group.attention, _ids(table), computed)
        gone = {*skip.window, *skip.states}
        tables.append([NULL_BLOCK if i in gone else b for i, b in enumerate(table)] if gone else table)
        if gone:
            window = [BlockId(table[i]) for i in skip.window]
            releases.append(split_by_content(window, lambda block: view.keys[block] is not None))
            releases.append(Release((), tuple(BlockId(table[i]) for i in skip.states)))
    return _released(view, tables, releases)


def after_free(view: View, request: str, setting: Setting) -> Released:
    """What freeing the request leads to [FREE-1 to FREE-5]."""
    releases = [
        release_on_free(group.attention, _ids(table), lambda block: view.keys[block] is not None)
        for group, table in _tables(view, request, setting)
    ]
    return _released(view, [], releases)


def _tables(view: View, request: str, setting: Setting) -> Iterable[tuple[GroupSetting, list[int]]]:
    return zip(setting.groups, view.tables.get(request, []), strict=False)


def _ids(table: list[int]) -> Sequence[BlockId]:
    return cast("list[BlockId]", table)


def _released(view: View, tables: Tables, releases: Sequence[Release]) -> Released:
    if not releases:
        return Released(view.free_queue, tables, ())
    uses = {block: view.ref_counts[block] for r in releases for block in (*r.front, *r.back)}
    queue = _ids(view.free_queue)
    for release in releases:
        both = (*release.front, *release.back)
        for block in both:
            uses[block] -= 1
        queue = queue_after(queue, release, {block for block in both if uses[block] == 0})
    return Released(list(queue), tables, tuple(uses))


@once_a_step
def released_first(before: View, action: Allocate, setting: Setting) -> Released:
    """What an allocation's first act leads to, the release of what is not read [ALLOC-5]."""
    return after_skip(before, action.request, computed_tokens(action, setting), setting)


def used_hit(before: View, action: Allocate, history: History) -> Hit | None:
    """The hit that a successful allocation binds: that of a request without a table [ALLOC-15]."""
    if action.hit is None or action.request in before.tables or action.request not in history.requests:
        return None
    return history.requests[action.request].found


def layout(action: Allocate, setting: Setting) -> capacity.Step:
    """The token layout of the allocation [ALLOC-2, ALLOC-4]."""
    local = Tokens(action.computed + (action.hit or 0))
    computed = min(local + action.external, setting.max_model_len)
    main = Tokens(computed + action.new)
    slots = Tokens(min(main + action.lookahead, setting.max_model_len))
    return capacity.Step(local, action.external, main, slots, action.encoder)


def computed_tokens(action: Allocate, setting: Setting) -> Tokens:
    """The tokens that are computed before the step, those of hit and connector included [ALLOC-2]."""
    total = action.computed + (action.hit or 0) + action.external
    return Tokens(min(total, setting.max_model_len))


def bound_hits(before: View, action: Allocate, after: View, history: History) -> set[int]:
    """The hit blocks that stand in the request's tables after the allocation [BIND-6]."""
    hit = used_hit(before, action, history)
    if hit is None:
        return set()
    tables = after.tables.get(action.request, [])
    pairs = zip(hit.blocks, tables, strict=False)
    return {b for found, table in pairs for b, own in zip(found, table, strict=False) if b == own} - {
        NULL_BLOCK
    }


@once_a_step
def taken_blocks(before: View, action: Allocate, after: View, history: History) -> set[int]:
    """The blocks that the allocation took from the free queue: those that left it and are no hit."""
    if action.appended is None:
        return set()
    released = released_first(before, action, history.setting)
    hits = bound_hits(before, action, after, history)
    return set(released.queue) - set(after.free_queue) - hits


def nulls_bound(attention: Attention, found: int, slots: capacity.Step) -> int:
    """How many leading entries of a new table are null because nothing reads them [BIND-3, BIND-4]."""
    return capacity.binding(attention, Blocks(found), slots).nulls
