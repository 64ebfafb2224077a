"""The peer's events as ours, field by field [EVENT-2]."""

from typing import Any

from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent, event_keys
from spec.units import GroupId


def event_of(event: Any) -> KVCacheEvent:
    """The peer's event; fields that its release does not have are None."""
    kind = type(event).__name__
    if kind == "AllBlocksCleared":
        return AllBlocksCleared()
    group = getattr(event, "group_idx", None)
    if kind == "BlockRemoved":
        return BlockRemoved(tuple(event.block_hashes), event.medium, group)
    extra = getattr(event, "extra_keys", None)
    return BlockStored(
        block_hashes=tuple(event.block_hashes),
        parent_block_hash=event.parent_block_hash,
        token_ids=tuple(event.token_ids),
        block_size=event.block_size,
        lora_id=event.lora_id,
        medium=event.medium,
        lora_name=getattr(event, "lora_name", None),
        extra_keys=tuple(event_keys(keys) for keys in extra) if extra else None,
        group_idx=None if group is None else GroupId(group),
        kv_cache_spec_kind=getattr(event, "kv_cache_spec_kind", None),
        kv_cache_spec_sliding_window=getattr(event, "kv_cache_spec_sliding_window", None),
    )
