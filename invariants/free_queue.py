"""The free queue: which blocks are free, and in which order they are taken again."""

from collections.abc import Iterator
from math import isclose

from invariants.allocation import after_free, after_skip, bound_hits, released_first
from invariants.history import History
from invariants.protocols import state_invariant, step_invariant
from invariants.setting import Setting
from invariants.step import Allocate, Free, Skip, Step
from invariants.view import View
from spec.units import NULL_BLOCK


@state_invariant("free-iff-unused", "ref_counts", "free_queue", "reserved")
def free_iff_unused(view: View, _setting: Setting) -> Iterator[str]:
    """A block is in the free queue once if no table uses it and it is not set aside, else never [INV-1]."""
    queued = [0] * len(view.ref_counts)
    for block in view.free_queue:
        queued[block] += 1
    wanted = [int(count == 0) for count in view.ref_counts]
    for block in view.reserved:
        wanted[block] = 0
    queued[NULL_BLOCK] = wanted[NULL_BLOCK] = 0
    if queued == wanted:
        return
    for block, (times, due) in enumerate(zip(queued, wanted, strict=True)):
        if times != due:
            state = "is set aside" if block in view.reserved else f"has {view.ref_counts[block]} users"
            yield f"block {block} {state}, and is {times} times in the free queue instead of {due} times"


@state_invariant("reserved-are-held", "ref_counts", "keys", "reserved")
def reserved_are_held(view: View, setting: Setting) -> Iterator[str]:
    """The sink's blocks are set aside for good: in no table, with no content, as many as it needs [SINK-1]."""
    if len(set(view.reserved)) != setting.reserved_blocks or len(view.reserved) != setting.reserved_blocks:
        yield f"{setting.reserved_blocks} blocks are to be set aside, but {view.reserved} are"
    for block in view.reserved:
        if view.ref_counts[block] != 0 or view.keys[block] is not None:
            yield (
                f"block {block} is set aside, but has {view.ref_counts[block]} users "
                f"and the key {view.keys[block]!r}"
            )


@state_invariant("nothing-leaks", "tables", "free_queue")
def nothing_leaks(view: View, setting: Setting) -> Iterator[str]:
    """When no request holds a table, every block that is not set aside is free [INV-1, FREE-1]."""
    free = setting.usable_blocks - setting.reserved_blocks
    if not view.tables and len(view.free_queue) != free:
        yield f"no request holds blocks, but {len(view.free_queue)} of {free} blocks are free"


@state_invariant("usage-is-held-share", "ref_counts", "reserved", "usage")
def usage_is_held_share(view: View, setting: Setting) -> Iterator[str]:
    """The usage is the share of blocks that a table or a sink holds [USAGE-1, INV-12]."""
    held = len([count for count in view.ref_counts if count > 0]) + len(view.reserved)
    share = held / setting.usable_blocks if setting.usable_blocks else 0.0
    if not isclose(view.usage, share, abs_tol=1e-9):
        yield f"usage is {view.usage}, but {held} of {setting.usable_blocks} blocks are held: {share}"


@step_invariant("queue-order", "free_queue", of=(Allocate, Free, Skip))
def queue_order(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Blocks enter the free queue as they are released, leave it from its front, and never move in it.

    A release puts blocks to the front or to the back [SKIP-3, FREE-2, FREE-3]; hits leave from
    anywhere [POOL-6]; an allocation first releases what is no longer read, then takes [ALLOC-5, POOL-4].
    """
    setting = history.setting
    match step.action:
        case Allocate() as action:
            yield from _allocation_order(before, action, after, history)
            return
        case Free(request=request):
            expected = after_free(before, request, setting).queue
        case Skip(request=request, tokens=tokens):
            expected = after_skip(before, request, tokens, setting).queue
        case _:
            expected = before.free_queue
    if after.free_queue != expected:
        yield f"the free queue must be {expected} after {step.action}, but is {after.free_queue}"


def _allocation_order(before: View, action: Allocate, after: View, history: History) -> Iterator[str]:
    released = released_first(before, action, history.setting).queue
    if action.appended is None:
        untouched = action.must_fit and after.free_queue == before.free_queue
        if after.free_queue != released and not untouched:
            yield (
                f"the refused {action} may only release what is not read: the free queue must be "
                f"{released}, but is {after.free_queue}"
            )
        return
    hits = bound_hits(before, action, after, history)
    remaining = [block for block in released if block not in hits]
    expected = remaining[max(0, len(remaining) - len(after.free_queue)) :]
    if after.free_queue != expected:
        yield (
            f"{action} takes blocks from the front of {remaining}, hits left out, so the free queue must "
            f"end as {expected}, but is {after.free_queue}"
        )
