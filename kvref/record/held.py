"""Holds a reference against what a recorded manager returned, as far as that was recorded."""

from dataclasses import replace

from invariants.view import View
from kvref.compare import Difference, differences
from kvref.operations import Observation
from kvref.record.told import NOTHING, Told
from kvref.targets.picture import Picture


def observation_differences(mine: Observation, one: Told, *, blocks: bool) -> list[Difference]:
    """What the reference returned otherwise. With `blocks`, ids and counts are compared, not only lengths.

    Events are not: an engine takes them when it likes, and their hashes are its own.
    """
    theirs = one.observation
    if theirs.error is not None or mine.error is not None:
        told = (mine.error or "returns", theirs.error or "returned")
        both = mine.error is not None and theirs.error is not None
        return [] if both else [Difference("error", *told)]
    if one.granted is not None and one.granted != (mine.blocks is not None):
        return [Difference("slots", _granted(mine.blocks is not None), _granted(one.granted))]
    shown = replace_unknown(mine, theirs)
    if not blocks:
        lengths = Observation(tokens=theirs.tokens, done=theirs.done)
        shown = Observation(tokens=mine.tokens, done=mine.done)
        theirs = lengths
    return differences(Picture(shown, _EMPTY), Picture(theirs, _EMPTY))


def replace_unknown(mine: Observation, theirs: Observation) -> Observation:
    """The reference's observation without what was not recorded."""
    return Observation(
        blocks=mine.blocks if theirs.blocks is not None else None,
        tokens=mine.tokens if theirs.tokens is not None else None,
        done=mine.done if theirs.done is not None else None,
        numbers=mine.numbers if theirs.numbers is not None else None,
        stats=mine.stats if theirs.stats is not None else None,
    )


def view_differences(mine: View, theirs: View) -> list[Difference]:
    """In what two states differ, but for the names of keys."""
    return differences(Picture(NOTHING, renamed(mine)), Picture(NOTHING, renamed(theirs)))


def renamed(view: View) -> View:
    """The view with keys by the first block that has them: equal for states that differ in keys' names alone."""
    numbers: dict[bytes, bytes] = {}

    def name(key: bytes) -> bytes:
        return numbers.setdefault(key, len(numbers).to_bytes(8, "big"))

    keys = [None if key is None else name(key) for key in view.keys]
    return replace(
        view,
        keys=keys,
        prefix_map=sorted([(name(key), holders) for key, holders in view.prefix_map]),
        step_keys=sorted([name(key) for key in view.step_keys]),
    )


def _granted(granted: bool) -> str:
    return "granted" if granted else "refused"


_EMPTY = View([], [], [], [], {}, {}, [], [], 0.0, None)
