"""The groups of a manager by vLLM's names. A coordinator coordinates nothing here: the manager does."""

from collections.abc import Sequence
from typing import NamedTuple

from kvref.compat.vllm.backing import Group
from kvref.compat.vllm.block_pool import BlockPool
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.single_type_kv_cache_manager import (
    CrossAttentionManager,
    SingleTypeKVCacheManager,
    manager_class,
)
from kvref.config import ManagerConfig
from kvref.kv_cache_spec import KVCacheSpec
from spec.units import Blocks, GroupId


class SpecGroup(NamedTuple):
    """Groups with an equal spec, which are looked up together [HIT-2]."""

    kv_cache_spec: KVCacheSpec
    group_ids: list[GroupId]
    manager_cls: type[SingleTypeKVCacheManager]
    use_eagle: bool


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

    @property
    def attention_groups(self) -> list[SpecGroup]:
        """The groups by spec, in the order of their first members."""
        by_spec: dict[KVCacheSpec, list[SingleTypeKVCacheManager]] = {}
        for manager in self.single_type_managers:
            by_spec.setdefault(manager.kv_cache_spec, []).append(manager)
        return [
            SpecGroup(
                spec, [GroupId(m.kv_cache_group_id) for m in members], type(members[0]), members[0].use_eagle
            )
            for spec, members in by_spec.items()
        ]

    def get_num_blocks_to_allocate(
        self,
        request_id: str,
        num_tokens: int,
        new_computed_blocks: tuple[Sequence[KVCacheBlock], ...],
        num_encoder_tokens: int,
        total_computed_tokens: int,
        num_tokens_main_model: int,
    ) -> Blocks:
        """Free blocks that an allocation takes in all groups together [NEED-3]."""
        need = 0
        for manager, own in zip(self.single_type_managers, new_computed_blocks, strict=True):
            if isinstance(manager, CrossAttentionManager):
                encoder = num_encoder_tokens
                need += manager.get_num_blocks_to_allocate(request_id, encoder, (), 0, encoder)
            else:
                need += manager.get_num_blocks_to_allocate(
                    request_id, num_tokens, own, total_computed_tokens, num_tokens_main_model
                )
        return Blocks(need)


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
