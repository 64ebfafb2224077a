"""KV events: what a consumer is told of the prefix cache's content [EVENT-1 to EVENT-7]."""

import msgspec

from kvref.hashing import ExtraKeys
from spec.units import GroupId

MEDIUM_GPU = "GPU"

EventKeys = tuple[str | tuple[str, int], ...] | None
"""Extra keys as an event tells them: a digest of embeddings is in hexadecimal, behind `0x`."""


def event_keys(keys: ExtraKeys) -> EventKeys:
    """Extra keys as an event tells them [EVENT-3]."""
    if keys is None:
        return None
    return tuple(f"0x{key.hex()}" if isinstance(key, bytes) else key for key in keys)


class BlockStored(msgspec.Struct, frozen=True, tag=True):
    """Blocks of one request and group entered the prefix cache [EVENT-3].

    `block_hashes` names the blocks that were cached, in order; `token_ids` covers the whole range
    that was handled, blocks that were not kept included [Q-12].
    """

    block_hashes: tuple[int, ...]
    parent_block_hash: int | None
    token_ids: tuple[int, ...]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: tuple[EventKeys, ...] | None = None
    group_idx: GroupId | None = None
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: int | None = None


class BlockRemoved(msgspec.Struct, frozen=True, tag=True):
    """One block left the prefix cache [EVENT-4]."""

    block_hashes: tuple[int, ...]
    medium: str | None
    group_idx: GroupId | None = None


class AllBlocksCleared(msgspec.Struct, frozen=True, tag=True):
    """The whole prefix cache was emptied [EVENT-5, RESET-1]."""


KVCacheEvent = BlockStored | BlockRemoved | AllBlocksCleared
