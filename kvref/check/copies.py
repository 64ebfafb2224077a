"""Copies of a state, quickly: what never changes is shared, all else is copied."""

import pickle
from io import BytesIO
from typing import Any, Generic, TypeVar

from invariants import Setting, View
from kvref.config import KVCacheConfig, ManagerConfig
from kvref.hashing import BlockHasher
from kvref.kv_cache_spec import KVCacheSpec
from kvref.operations import Configuration

Copied = TypeVar("Copied")

SHARED = (View, Setting, KVCacheConfig, ManagerConfig, BlockHasher, KVCacheSpec, Configuration)
"""Immutable, and large enough for sharing to pay."""


class Copies(Generic[Copied]):
    """Makes copies of an object, as it was when this was made."""

    def __init__(self, original: Copied) -> None:
        written = BytesIO()
        pickler = _Pickler(written, pickle.HIGHEST_PROTOCOL)
        pickler.dump(original)
        self._shared = pickler.shared
        self._bytes = written.getvalue()

    def make(self) -> Copied:
        """One more copy."""
        unpickler = _Unpickler(BytesIO(self._bytes))
        unpickler.shared = self._shared
        copied: Copied = unpickler.load()
        return copied


class _Pickler(pickle.Pickler):
    def __init__(self, file: BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.shared: list[object] = []

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, SHARED):
            return None
        self.shared.append(obj)
        return len(self.shared) - 1


class _Unpickler(pickle.Unpickler):
    shared: list[object]

    def persistent_load(self, pid: int) -> object:
        return self.shared[pid]
