"""The prefix map, as vLLM's white-box tests know it: a dictionary of blocks, or of blocks by id."""

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from kvref.compat.vllm.backing import PrefixMap, a_pool
from kvref.compat.vllm.blocks import KVCacheBlock
from spec.units import BlockId, BlockKey

BlocksById = Mapping[BlockId, KVCacheBlock]


class BlockHashToBlockMap:
    """A manager's prefix map, or one of its own [MAP-1 to MAP-5]."""

    def __init__(self, prefix_map: PrefixMap | None = None) -> None:
        self._map = a_pool().prefix_map if prefix_map is None else prefix_map

    @property
    def _cache(self) -> "Contents":
        return Contents(self._map)

    def __len__(self) -> int:
        return len(self._map)

    def get_one_block(self, key: BlockKey) -> KVCacheBlock | None:
        """The oldest block under the key [MAP-2]."""
        return self._map.find(key)

    def insert(self, key: BlockKey, block: KVCacheBlock) -> None:
        """Let a block be found under the key, behind the others [MAP-3]."""
        self._map.insert(key, block)

    def pop(self, key: BlockKey, block_id: int) -> KVCacheBlock | None:
        """Let a block be found under the key no more; None if it was not [MAP-4]."""
        return self._map.remove(key, BlockId(block_id))


class Contents(MutableMapping[BlockKey, "Holders | KVCacheBlock | BlocksById"]):
    """The map's inside: its values equal the lone block under a key, and the blocks under it by id.

    The peer's values are the one or the other, which depends on what was there before; here they are
    always blocks by id. The order of the keys is the manager's own.
    """

    def __init__(self, prefix_map: PrefixMap) -> None:
        self._map = prefix_map

    def __getitem__(self, key: BlockKey) -> "Holders":
        if not self._map.holders(key):
            raise KeyError(key)
        return Holders(self._map, key)

    def __setitem__(self, key: BlockKey, value: "Holders | KVCacheBlock | BlocksById") -> None:
        blocks = [value] if isinstance(value, KVCacheBlock) else list(value.values())
        self._clear(key)
        for block in blocks:
            self._map.insert(key, block)

    def __delitem__(self, key: BlockKey) -> None:
        if not self._clear(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[BlockKey]:
        return iter(self._map)

    def __len__(self) -> int:
        return len(self._map)

    def __copy__(self) -> "dict[BlockKey, Held]":
        return {key: Held(self._map.holders(key)) for key in self._map}

    def pop(self, key: BlockKey, *default: Any) -> Any:
        """Let nothing be found under the key any more, and tell what was."""
        held = Held(self._map.holders(key))
        if not held and default:
            return default[0]
        del self[key]
        return held

    def _clear(self, key: BlockKey) -> bool:
        held = list(self._map.holders(key))
        for block_id in held:
            self._map.remove(key, block_id)
        return bool(held)


class Holders(MutableMapping[BlockId, KVCacheBlock]):
    """The blocks under one key, oldest first."""

    def __init__(self, prefix_map: PrefixMap, key: BlockKey) -> None:
        self._map = prefix_map
        self._key = key

    def __getitem__(self, block_id: BlockId) -> KVCacheBlock:
        return self._map.holders(self._key)[block_id]

    def __setitem__(self, block_id: BlockId, block: KVCacheBlock) -> None:
        self._map.insert(self._key, block)

    def __delitem__(self, block_id: BlockId) -> None:
        if self._map.remove(self._key, block_id) is None:
            raise KeyError(block_id)

    def __iter__(self) -> Iterator[BlockId]:
        return iter(self._map.holders(self._key))

    def __len__(self) -> int:
        return len(self._map.holders(self._key))

    def __eq__(self, other: object) -> bool:
        return _is_lone(self, other) or super().__eq__(other)

    __hash__ = None  # type: ignore[assignment] # as of any mapping that changes


class Held(dict[BlockId, KVCacheBlock]):
    """The blocks that were under one key, oldest first."""

    def __eq__(self, other: object) -> bool:
        return _is_lone(self, other) or super().__eq__(other)

    __hash__ = None


def _is_lone(blocks: BlocksById, other: object) -> bool:
    return isinstance(other, KVCacheBlock) and list(blocks.values()) == [other]
