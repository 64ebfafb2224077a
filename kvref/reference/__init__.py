"""The manager to read: the simplest stateful manager that `spec` allows."""

from kvref.reference.manager import KVCacheManager

__all__ = ["KVCacheManager"]
