"""Holds what two implementations showed against each other, and says where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest

from invariants.view import View
from kvref.events import KVCacheEvent
from kvref.operations import Observation
from kvref.targets.base import CaseResult
from kvref.targets.picture import Picture


@dataclass(frozen=True)
class Difference:
    """One thing that two implementations show differently, as text, the expected first."""

    what: str
    expected: str
    actual: str


def first_mismatch(expected: CaseResult, actual: CaseResult) -> int | None:
    """The first operation after which the digests differ, None if none does [OBS-1 to OBS-8]."""
    pairs = zip_longest(expected.digests, actual.digests)
    return next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), None)


def differences(expected: Picture, actual: Picture) -> list[Difference]:
    """All that differs after one operation. After an error only the error is compared [OBS-1]."""
    found = [
        Difference(name, _text(getattr(expected.observation, name)), _text(getattr(actual.observation, name)))
        for name in Observation.__struct_fields__
        if name != "events" and getattr(expected.observation, name) != getattr(actual.observation, name)
    ]
    for at, pair in enumerate(zip_longest(expected.observation.events, actual.observation.events)):
        found += _event_differences(f"event {at}", *pair)
    if expected.observation.error or actual.observation.error:
        return found
    for field in fields(View):
        mine, theirs = getattr(expected.view, field.name), getattr(actual.view, field.name)
        found += _state_differences(field.name, mine, theirs)
    return found


def _event_differences(what: str, mine: KVCacheEvent | None, theirs: KVCacheEvent | None) -> list[Difference]:
    """What differs in one event, field by field where both are of one kind [EVENT-2]."""
    if mine is None or theirs is None or type(mine) is not type(theirs):
        return [] if mine == theirs else [Difference(what, _text(mine), _text(theirs))]
    return [
        Difference(f"{what} {name}", _text(getattr(mine, name)), _text(getattr(theirs, name)))
        for name in mine.__struct_fields__
        if getattr(mine, name) != getattr(theirs, name)
    ]


def _state_differences(what: str, mine: object, theirs: object) -> list[Difference]:
    """What differs in one part of the state; lists by block are told block by block."""
    if _plain(mine) == _plain(theirs):
        return []
    if what in ("ref_counts", "keys") and isinstance(mine, list) and isinstance(theirs, list):
        singular = {"ref_counts": "users of", "keys": "key of"}[what]
        return [
            Difference(f"{singular} block {block}", _text(a), _text(b))
            for block, (a, b) in enumerate(zip_longest(mine, theirs))
            if a != b
        ]
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return [
            Difference(f"{what} of {name}", _text(mine.get(name)), _text(theirs.get(name)))
            for name in sorted({*mine, *theirs})
            if _plain(mine.get(name)) != _plain(theirs.get(name))
        ]
    return [Difference(what.replace("_", " "), _text(mine), _text(theirs))]


def _plain(value: object) -> object:
    """Lists and tuples alike: a process boundary does not tell them apart."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return f"{value[:4].hex()}…{value[-4:].hex()}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_text(entry) for entry in value) + "]"
    return str(value)
