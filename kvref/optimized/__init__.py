"""The manager to run: the reference's decisions, made incrementally over arrays of integers.

It shares the data types with the reference and nothing else, so that neither can hide the other's
mistakes. The same sources compiled are the package `kvref.compiled` (`make compile`).
"""

from .manager import KVCacheManager

__all__ = ["KVCacheManager"]
