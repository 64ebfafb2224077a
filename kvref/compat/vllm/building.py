"""Managers from configurations, and configurations for parts that stand alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from kvref.config import KVCacheConfig, KVCacheGroupSpec, ManagerConfig
from kvref.events import BlockStored, KVCacheEvent
from kvref.kv_cache_spec import FullAttentionSpec, KVCacheSpec
from kvref.stats import MetricsCollector
from spec.units import GroupId, Tokens

LONGEST = 1 << 40
"""A length in tokens that no sequence has."""


_M = TypeVar("_M")


def built(manager: Callable[..., _M], config: ManagerConfig, metrics: MetricsCollector | None) -> _M:
    """A manager of this configuration. Raises ConfigurationError if it is refused."""
    return manager(
        config.kv_cache_config,
        max_model_len=config.max_model_len,
        scheduler_block_size=config.scheduler_block_size,
        hash_block_size=config.hash_block_size,
        max_num_batched_tokens=config.max_num_batched_tokens,
        enable_caching=config.enable_caching,
        use_eagle=config.use_eagle,
        log_stats=config.log_stats,
        enable_kv_cache_events=config.enable_kv_cache_events,
        dcp_world_size=config.dcp_world_size,
        pcp_world_size=config.pcp_world_size,
        metrics_collector=metrics,
        retention_interval=config.retention_interval,
    )


@dataclass(frozen=True)
class _Byte:
    itemsize: int = 1


def full_attention_config(
    group_id: GroupId, block_size: Tokens, hash_block_size: Tokens, *, records_events: bool
) -> ManagerConfig:
    """A manager in which `group_id` is full attention, and not the only group."""
    spec = FullAttentionSpec(block_size, num_kv_heads=1, head_size=1, dtype=_Byte())
    return ManagerConfig(
        KVCacheConfig(1, (KVCacheGroupSpec((), spec),) * (group_id + 2)),
        max_model_len=LONGEST,
        scheduler_block_size=block_size,
        hash_block_size=hash_block_size,
        enable_kv_cache_events=records_events,
    )


def lone_group_config(
    spec: KVCacheSpec, alignment: Tokens, context_parallel_size: int, *, eagle: bool
) -> ManagerConfig:
    """A manager of one group, whose blocks are hashed one by one. Raises ConfigurationError [CFG-3]."""
    return ManagerConfig(
        KVCacheConfig(1, (KVCacheGroupSpec((), spec),)),
        max_model_len=LONGEST,
        scheduler_block_size=alignment,
        hash_block_size=spec.block_size * context_parallel_size,
        use_eagle=eagle,
        dcp_world_size=context_parallel_size,
    )


def without_group_facts(event: KVCacheEvent) -> KVCacheEvent:
    """An event that tells neither kind nor window of its group [EVENT-6]."""
    if not isinstance(event, BlockStored):
        return event
    return msgspec.structs.replace(event, kv_cache_spec_kind=None, kv_cache_spec_sliding_window=None)
