"""The groups of a manager by vLLM's names. A coordinator coordinates nothing here: the manager does."""

from kvref.compat.vllm.backing import Group
from kvref.compat.vllm.block_pool import BlockPool
from kvref.compat.vllm.single_type_kv_cache_manager import SingleTypeKVCacheManager, manager_class
from kvref.config import ManagerConfig
from spec.units import GroupId


class KVCacheCoordinator:
    """The groups of a manager, in configuration order."""

    def __init__(self, config: ManagerConfig, block_pool: BlockPool, groups: list[Group]) -> None:
        self.block_pool = block_pool
        self.enable_caching = config.enable_caching
        self.scheduler_block_size = config.scheduler_block_size
        self.retention_interval = config.retention_interval
        self.eagle_group_ids: frozenset[GroupId] = config.eagle_groups
        self.single_type_managers: tuple[SingleTypeKVCacheManager, ...] = tuple(
            manager_class(spec)(
                spec,
                block_pool,
                config.enable_caching,
                group_id,
                config.scheduler_block_size,
                config.dcp_world_size,
                config.pcp_world_size,
                group=group,
            )
            for group_id, (spec, group) in enumerate(zip(config.specs, groups, strict=True))
        )


class UnitaryKVCacheCoordinator(KVCacheCoordinator):
    """One group, which decides hits alone."""


class HybridKVCacheCoordinator(KVCacheCoordinator):
    """Several groups, which serve a hit together."""


class KVCacheCoordinatorNoPrefixCache(KVCacheCoordinator):
    """Groups without a prefix cache."""


def coordinator_class(config: ManagerConfig) -> type[KVCacheCoordinator]:
    """What vLLM calls the coordinator of such a manager [CFG-2]."""
    if not config.enable_caching:
        return KVCacheCoordinatorNoPrefixCache
    return UnitaryKVCacheCoordinator if config.has_lone_group else HybridKVCacheCoordinator
