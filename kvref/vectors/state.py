"""A manager's state as plain JSON, and what an operation changed in it.

The state leaves out what is zero or absent, so that it is short: blocks without users, blocks without
a key. A change is a JSON Merge Patch (RFC 7396): applied to the state before, it gives the state after.
"""

from typing import Any

from invariants.view import View

State = dict[str, Any]


def state_of(view: View) -> State:
    """The view as plain JSON: block ids as strings where they are names, keys in hexadecimal."""
    state: State = {
        "ref_counts": {str(block): count for block, count in enumerate(view.ref_counts) if count},
        "keys": {str(block): key.hex() for block, key in enumerate(view.keys) if key is not None},
        "free_queue": view.free_queue,
        "prefix_map": {key.hex(): holders for key, holders in view.prefix_map},
        "tables": view.tables,
        "handled": view.handled,
        "reserved": view.reserved,
        "step_keys": [key.hex() for key in view.step_keys],
        "usage": view.usage,
    }
    return state if view.stats is None else state | {"stats": list(view.stats)}


def view_of(state: State, num_blocks: int) -> View:
    """The view that a state of so many blocks tells. Raises what a state of another form leads to."""
    counts, keys = state["ref_counts"], state["keys"]
    return View(
        ref_counts=[counts.get(str(block), 0) for block in range(num_blocks)],
        keys=[
            bytes.fromhex(keys[name]) if (name := str(block)) in keys else None for block in range(num_blocks)
        ],
        free_queue=state["free_queue"],
        prefix_map=sorted(
            ((bytes.fromhex(key), holders) for key, holders in state["prefix_map"].items()),
            key=lambda entry: entry[1],
        ),
        tables=state["tables"],
        handled=state["handled"],
        reserved=state["reserved"],
        step_keys=[bytes.fromhex(key) for key in state["step_keys"]],
        usage=state["usage"],
        stats=tuple(state["stats"]) if "stats" in state else None,
    )


def change(before: State, after: State) -> State:
    """The merge patch from one state to the next; empty if nothing changed."""
    patch: State = dict.fromkeys(name for name in before if name not in after)
    for name, value in after.items():
        if name not in before:
            patch[name] = value
        elif isinstance(value, dict) and isinstance(before[name], dict):
            inner = change(before[name], value)
            if inner:
                patch[name] = inner
        elif value != before[name]:
            patch[name] = value
    return patch


def changed(state: State, patch: State) -> State:
    """The state after a merge patch; the state before is left as it is."""
    after = dict(state)
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        elif isinstance(value, dict):
            inner = after.get(name)
            after[name] = changed(inner if isinstance(inner, dict) else {}, value)
        else:
            after[name] = value
    return after
