"""The optimized manager behind the views."""

from typing import cast

from kvref.compat.vllm import backing
from kvref.compat.vllm.building import built
from kvref.compat.vllm.optimized_groups import Group
from kvref.compat.vllm.optimized_pool import Pool, map_of
from kvref.config import ManagerConfig
from kvref.optimized import KVCacheManager
from kvref.optimized import groups as kinds
from kvref.optimized import pool as pools
from kvref.optimized.prefix_map import PrefixMap as GroupMap
from kvref.stats import MetricsCollector
from spec.units import GroupId, Tokens


class OptimizedBacking:
    """Builds optimized managers, pools and groups."""

    def manager(
        self, config: ManagerConfig, metrics: MetricsCollector | None
    ) -> tuple[backing.Manager, backing.Pool, list[backing.Group]]:
        """A manager, its pool and its groups."""
        own = built(KVCacheManager, config, metrics)
        tells = config.enable_kv_cache_events
        over = Pool(
            own.pool,
            Tokens(config.hash_block_size),
            caches=config.enable_caching,
            records_events=tells,
            metrics=metrics,
        )
        members: list[backing.Group] = [
            Group(group, over, own.tables, own.new_ids, tells=tells) for group in own.groups
        ]
        # Its results are block ids with the interface of `KVCacheBlocks`.
        return cast("backing.Manager", own), over, members

    def pool(
        self,
        num_blocks: int,
        hash_block_size: Tokens,
        *,
        caches: bool,
        records_events: bool,
        metrics: MetricsCollector | None,
    ) -> backing.Pool:
        """A pool without a manager; it caches if it is told to."""
        own = pools.BlockPool(
            num_blocks, 0, [GroupMap(1)], metrics, caches=caches, records_events=records_events
        )
        return Pool(own, hash_block_size, caches=caches, records_events=records_events, metrics=metrics)

    def group(self, group_id: GroupId, config: ManagerConfig, over: backing.Pool) -> backing.Group:
        """A group without a manager."""
        assert isinstance(over, Pool)  # noqa: S101 - `pool` made it
        own = kinds.group_of(group_id, config)
        if map_of(over.own, group_id).hashes_per_block != own.hashes_per_block:
            over.own.maps[group_id] = GroupMap(own.hashes_per_block)
        new_ids: list[list[int]] = [[] for _ in range(group_id + 1)]
        return Group(own, over, {}, new_ids, tells=config.enable_kv_cache_events)


BACKING: backing.Backing = OptimizedBacking()
