"""The prefix map: which content can be found, and in which blocks."""

from collections import Counter
from collections.abc import Iterator

from invariants.allocation import taken_blocks
from invariants.history import History
from invariants.protocols import state_invariant, step_invariant
from invariants.setting import Setting
from invariants.step import Allocate, Evict, Reset, Step
from invariants.view import View


@state_invariant("map-and-blocks-agree", "keys", "prefix_map")
def map_and_blocks_agree(view: View, _setting: Setting) -> Iterator[str]:
    """A block has a key exactly if the map lists it, once, under that key [INV-4, MAP-4]."""
    listed = [(block, key) for key, holders in view.prefix_map for block in holders]
    carried = [(block, key) for block, key in enumerate(view.keys) if key is not None]
    if sorted(listed) != carried:
        times = Counter(listed)
        for block, key in sorted((times - Counter(carried)) + (Counter(carried) - times)):
            yield (
                f"block {block} is listed {times[block, key]} times under key {key.hex()}, "
                f"but carries {_hex(view.keys[block])}"
            )
    if empty := [key.hex() for key, holders in view.prefix_map if not holders]:
        yield f"keys {empty} are in the map without any block"
    if len({key for key, _ in view.prefix_map}) != len(view.prefix_map):
        yield "a key is in the map twice"


@state_invariant("no-content-without-caching", "keys")
def no_content_without_caching(view: View, setting: Setting) -> Iterator[str]:
    """With prefix caching off no block has a key [CFG-2, ALLOC-11]."""
    if not setting.caching and (keyed := [b for b, key in enumerate(view.keys) if key is not None]):
        yield f"prefix caching is off, but blocks {keyed} have keys"


@step_invariant("duplicates-in-order", "prefix_map", of=(Allocate,))
def duplicates_in_order(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Under each key the holders only lose members, or gain them at the end: oldest first [MAP-1 to MAP-4].

    A block that was taken, and got the key that it had, is gained.
    """
    taken = _taken(before, step, after, history)
    if not taken and before.prefix_map == after.prefix_map:
        return
    old = dict(before.prefix_map)
    for key, holders in after.prefix_map:
        if len(holders) == 1:
            continue
        previous = old.get(key, [])
        stayed = [block for block in previous if block in holders and block not in taken]
        if holders[: len(stayed)] != stayed:
            yield (
                f"the holders of key {key.hex()} were {previous}; those that stay must come first and in "
                f"that order, but they are {holders} after {step.action}"
            )


@step_invariant("content-outlives-use", "keys", of=(Evict, Reset))
def content_outlives_use(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Content is forgotten when its block is taken, evicted or reset, then surely, and never else [POOL-4, POOL-5].

    In particular freed blocks keep theirs, so that they can be hit [POOL-7].
    """
    if before.keys == after.keys and not isinstance(step.action, Evict | Reset):
        return
    match step.action:
        case Evict(blocks=blocks):
            forgettable, forgotten = set(blocks), set(blocks)
        case Reset(done=True):
            forgettable = forgotten = set(range(len(after.keys)))
        case _:
            forgettable, forgotten = _taken(before, step, after, history), set()
    for block, (old, new) in enumerate(zip(before.keys, after.keys, strict=True)):
        if old is not None and new != old and block not in forgettable:
            yield (
                f"block {block} had key {old.hex()} and has {_hex(new)} after {step.action}, which gives "
                "no reason to forget it"
            )
        if new is not None and block in forgotten:
            yield f"block {block} was to be forgotten by {step.action}, but still has key {new.hex()}"


@step_invariant("reset-only-unused", of=(Reset,))
def reset_only_unused(before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """A reset is done exactly if nothing but the null block is held, sinks included [RESET-1]."""
    if isinstance(step.action, Reset):
        all_free = len(before.free_queue) == history.setting.usable_blocks
        if step.action.done != all_free:
            yield (
                f"{len(before.free_queue)} of {history.setting.usable_blocks} blocks are free, "
                f"but the reset returned {step.action.done}"
            )


def _taken(before: View, step: Step, after: View, history: History) -> set[int]:
    action = step.action
    return taken_blocks(before, action, after, history) if isinstance(action, Allocate) else set()


def _hex(key: bytes | None) -> str:
    return "no key" if key is None else f"key {key.hex()}"
