"""Who is benchmarked: managers with one public API, each with requests of its own kind."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, Final, Protocol

from kvref.hashing import BlockHasher
from kvref.operations import Configuration
from kvref.request import Request
from kvref.targets.inprocess import manager_of
from spec.units import BlockHash, RequestId, Tokens

COMPILED: Final = "compiled"
MODULES: Final = {
    "reference": "kvref.reference",
    "optimized": "kvref.optimized",
    COMPILED: "kvref.compiled",
}
NOT_BUILT: Final = "not built"


class Implementation(Protocol):
    """A manager under test: how it, and what it is asked about, is made."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def manager(self, configuration: Configuration) -> Any:
        """A manager with vLLM's public API."""

    def request(self, name: str, tokens: list[int], hashes: Sequence[bytes]) -> Any:
        """A request whose block hashes are known."""

    def hashed(self, name: str, tokens: list[int], configuration: Configuration) -> Any:
        """A request that hashes its blocks itself."""


class OwnImplementation:
    """A manager of this project: a module that has `KVCacheManager`, and this project's data types."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self._factory = import_module(module).KVCacheManager

    def is_compiled(self) -> bool:
        """Whether the manager's own module is an extension."""
        source = sys.modules[self._factory.__module__].__file__ or ""
        return source.endswith(tuple(EXTENSION_SUFFIXES))

    def manager(self, configuration: Configuration) -> Any:
        """A manager with vLLM's public API."""
        return manager_of(self._factory, configuration)

    def request(self, name: str, tokens: list[int], hashes: Sequence[bytes]) -> Request:
        """A request whose block hashes are known."""
        request = Request(RequestId(name), tokens)
        request.block_hashes = [BlockHash(value) for value in hashes]
        return request

    def hashed(self, name: str, tokens: list[int], configuration: Configuration) -> Request:
        """A request that hashes its blocks itself."""
        hasher = BlockHasher.seeded(
            configuration.hash_function, Tokens(configuration.hash_block_size), configuration.hash_seed
        )
        return Request(RequestId(name), tokens, block_hasher=hasher)


def own_implementations() -> tuple[list[Implementation], dict[str, str]]:
    """The managers of this project, and by name why others are absent."""
    found: list[Implementation] = []
    absent: dict[str, str] = {}
    for name, module in MODULES.items():
        try:
            implementation = OwnImplementation(name, module)
        except ModuleNotFoundError as missing:
            if not (missing.name or "").startswith(module):
                raise
            absent[name] = NOT_BUILT
        else:
            if name == COMPILED and not implementation.is_compiled():
                absent[name] = NOT_BUILT
            else:
                found.append(implementation)
    return found, absent
