"""KV events in vLLM's form: lists where kvref has tuples, and a batch around them [EVENT-2, EVENT-9]."""

from typing import Any

import msgspec

import kvref.events
from kvref.events import EventKeys
from spec.units import GroupId


class EventBatch(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """Events and when they were taken, in seconds."""

    ts: float
    events: list[Any]


class KVCacheEvent(msgspec.Struct, array_like=True, omit_defaults=True, gc=False, tag=True):
    """What a consumer is told of the prefix cache."""


class BlockStored(KVCacheEvent):
    """Blocks entered the prefix cache [EVENT-3]."""

    block_hashes: list[int]
    parent_block_hash: int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None
    lora_name: str | None
    extra_keys: list[EventKeys] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: int | None = None

    def __hash__(self) -> int:
        return hash((tuple(self.block_hashes), self.parent_block_hash, tuple(self.token_ids), self.group_idx))


class BlockRemoved(KVCacheEvent):
    """A block left the prefix cache [EVENT-4]."""

    block_hashes: list[int]
    medium: str | None
    group_idx: int | None = None

    def __hash__(self) -> int:
        return hash((tuple(self.block_hashes), self.medium, self.group_idx))


class AllBlocksCleared(KVCacheEvent):
    """The prefix cache was emptied [EVENT-5]."""

    def __hash__(self) -> int:
        return hash(type(self))


class KVEventBatch(EventBatch):
    """KV events of one rank."""

    events: list[KVCacheEvent]
    data_parallel_rank: int | None = None


def shown(event: kvref.events.KVCacheEvent) -> KVCacheEvent:
    """One of kvref's events in vLLM's form."""
    match event:
        case kvref.events.BlockStored():
            return BlockStored(
                list(event.block_hashes),
                event.parent_block_hash,
                list(event.token_ids),
                event.block_size,
                event.lora_id,
                event.medium,
                event.lora_name,
                None if event.extra_keys is None else list(event.extra_keys),
                event.group_idx,
                event.kv_cache_spec_kind,
                event.kv_cache_spec_sliding_window,
            )
        case kvref.events.BlockRemoved():
            return BlockRemoved(list(event.block_hashes), event.medium, event.group_idx)
        case kvref.events.AllBlocksCleared():
            return AllBlocksCleared()


def meant(event: KVCacheEvent) -> kvref.events.KVCacheEvent:
    """An event in vLLM's form as one of kvref's."""
    if isinstance(event, BlockStored):
        return kvref.events.BlockStored(
            tuple(event.block_hashes),
            event.parent_block_hash,
            tuple(event.token_ids),
            event.block_size,
            event.lora_id,
            event.medium,
            event.lora_name,
            None if event.extra_keys is None else tuple(event.extra_keys),
            None if event.group_idx is None else GroupId(event.group_idx),
            event.kv_cache_spec_kind,
            event.kv_cache_spec_sliding_window,
        )
    if isinstance(event, BlockRemoved):
        group = None if event.group_idx is None else GroupId(event.group_idx)
        return kvref.events.BlockRemoved(tuple(event.block_hashes), event.medium, group)
    return kvref.events.AllBlocksCleared()
