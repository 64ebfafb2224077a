"""What a graph of objects looks like now, to be put back later, in place.

Trying one move after another from a state means returning to it each time. A copy of two managers costs
more than the move. Here what can change is noted once a state, and written back: the objects stay the
same ones, so whatever is shared, or compared by identity, stays so.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from types import MemberDescriptorType
from typing import Any

import msgspec

from invariants import Setting, View
from kvref.config import KVCacheConfig, ManagerConfig
from kvref.hashing import BlockHasher
from kvref.kv_cache_spec import KVCacheSpec
from kvref.operations import Configuration
from kvref.targets.inprocess import InProcessSession
from spec.attention import Attention

CONSTANT: tuple[type, ...] = (
    *(type(None), bool, int, float, str, bytes, range, frozenset, type, Enum, msgspec.Struct),
    *(View, Setting, KVCacheConfig, ManagerConfig, BlockHasher, KVCacheSpec, Configuration, Attention),
)
"""What never changes, nor refers to what does."""

COPIES: dict[type, str] = {InProcessSession: "_parts"}
"""Attributes that hold copies, made for a picture, which nobody writes to."""


class Image:
    """All that can be reached from `root` and can change, as it is when this is made."""

    def __init__(self, root: object) -> None:
        self.lists: list[tuple[list[Any], list[Any]]] = []
        self.maps: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self.objects: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.slotted: list[tuple[object, tuple[str, ...], list[Any]]] = []
        self.others: list[tuple[Callable[[], None], Callable[[Any], None], Any]] = []
        known: set[int] = set()
        waiting = [root]
        while waiting:
            one = waiting.pop()
            kind = type(one)
            note = _NOTES[kind] if kind in _NOTES else _NOTES.setdefault(kind, _note_of(kind))
            if note is not None and id(one) not in known:
                known.add(id(one))
                waiting.extend(note(self, one))

    def restore(self) -> None:
        """Put everything back as it was."""
        for entries, were in self.lists:
            entries[:] = were
        for mapping, was in self.maps:
            if mapping or was:
                mapping.clear()
                mapping.update(was)
        for attributes, before in self.objects:
            if len(attributes) != len(before):
                attributes.clear()
            attributes.update(before)
        for one, names, values in self.slotted:
            for name, value in zip(names, values, strict=True):
                if getattr(one, name, value) is not value:
                    setattr(one, name, value)
        for empty, fill, members in self.others:
            empty()
            fill(members)


Note = Callable[[Image, Any], Collection[Any]]
"""Notes an object of a kind, and says what it refers to."""


def _list(image: Image, one: list[Any]) -> Collection[Any]:
    was = one.copy()
    image.lists.append((one, was))
    return was


def _dict(image: Image, one: dict[Any, Any]) -> Collection[Any]:
    was = dict(one)
    image.maps.append((one, was))
    return was.values()


def _set(image: Image, one: set[Any]) -> Collection[Any]:
    image.others.append((one.clear, one.update, one.copy()))
    return one


def _deque(image: Image, one: deque[Any]) -> Collection[Any]:
    image.others.append((one.clear, one.extend, one.copy()))
    return one


def _object(image: Image, one: Any) -> Collection[Any]:
    attributes: dict[str, Any] = one.__dict__
    was = attributes.copy()
    image.objects.append((attributes, was))
    return was.values()


def _object_but(name: str) -> Note:
    def note(image: Image, one: Any) -> Collection[Any]:
        _object(image, one)
        return [value for attribute, value in one.__dict__.items() if attribute != name]

    return note


def _slotted(names: tuple[str, ...]) -> Note:
    def note(image: Image, one: object) -> Collection[Any]:
        was = [getattr(one, name, None) for name in names]
        image.slotted.append((one, names, was))
        return was

    return note


def _frozen(names: tuple[str, ...]) -> Note:
    """What has no other attributes later can refer to what has."""

    def note(image: Image, one: object) -> Collection[Any]:
        del image
        return [getattr(one, name) for name in names]

    return note


def _note_of(kind: type) -> Note | None:
    """How objects of this kind are noted; None if they never change."""
    if issubclass(kind, CONSTANT) or any("__call__" in base.__dict__ for base in kind.__mro__):
        return None
    if is_dataclass(kind) and kind.__dataclass_params__.frozen:  # type: ignore[attr-defined] # not in typeshed
        return _frozen(tuple(field.name for field in fields(kind)))
    for base, name in COPIES.items():
        if issubclass(kind, base):
            return _object_but(name)
    slots = getattr(kind, "__mypyc_attrs__", None) or _slots_of(kind)
    return _slotted(slots) if slots else _object


def _slots_of(kind: type) -> tuple[str, ...]:
    """The attributes of objects that have no others."""
    if kind.__dictoffset__:
        return ()
    names = [name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())]
    return tuple(name for name in names if isinstance(getattr(kind, name), MemberDescriptorType))


_NOTES: dict[type, Note | None] = {
    tuple: lambda _, one: one,
    list: _list,
    deque: _deque,
    set: _set,
    dict: _dict,
    OrderedDict: _dict,
    Counter: _dict,
}
