"""vLLM's manager over one of kvref's: every call is passed on."""

import logging
import os
from collections.abc import Sequence

from kvref.blocks import KVCacheBlocks
from kvref.compat.vllm import kv_events
from kvref.compat.vllm.backing import backing
from kvref.compat.vllm.block_pool import BlockPool
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.kv_cache_coordinator import coordinator_class
from kvref.compat.vllm.kv_cache_interface import KVCacheConfig
from kvref.compat.vllm.kv_cache_utils import events_name_blocks_by_number
from kvref.compat.vllm.kv_events import KVCacheEvent, shown
from kvref.compat.vllm.request import Request
from kvref.config import ManagerConfig
from kvref.errors import ConfigurationError
from kvref.kv_cache_spec import kind_of, window_of
from kvref.stats import MetricsCollector, PrefixCacheStats
from spec.units import BlockId, Blocks, RequestId, Tokens

__all__ = ["KVCacheBlocks", "KVCacheManager", "Request"]

RETENTION = "VLLM_PREFIX_CACHE_RETENTION_INTERVAL"

logger = logging.getLogger("vllm.v1.core.kv_cache_manager")


class KVCacheManager:
    """A kvref manager. Raises ConfigurationError for what it cannot honour [CFG-3]."""

    def __init__(
        self,
        kv_cache_config: KVCacheConfig,
        max_model_len: int,
        scheduler_block_size: int,
        hash_block_size: int,
        max_num_batched_tokens: int | None = None,
        enable_caching: bool = True,
        use_eagle: bool = False,
        log_stats: bool = False,
        enable_kv_cache_events: bool = False,
        dcp_world_size: int = 1,
        pcp_world_size: int = 1,
        metrics_collector: MetricsCollector | None = None,
    ) -> None:
        if enable_kv_cache_events and not events_name_blocks_by_number():
            raise ConfigurationError(
                "kvref's events name blocks by number: unset VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES"
            )
        interval = os.environ.get(RETENTION)
        self.config = ManagerConfig(
            kv_cache_config=kv_cache_config.meant(),
            max_model_len=max_model_len,
            scheduler_block_size=scheduler_block_size,
            hash_block_size=hash_block_size,
            max_num_batched_tokens=max_num_batched_tokens,
            enable_caching=enable_caching,
            use_eagle=use_eagle,
            log_stats=log_stats,
            enable_kv_cache_events=enable_kv_cache_events,
            dcp_world_size=dcp_world_size,
            pcp_world_size=pcp_world_size,
            retention_interval=None if interval is None else int(interval),
        )
        self._manager, pool, groups = backing().manager(self.config, metrics_collector)
        self.block_pool = BlockPool(
            kv_cache_config.num_blocks,
            enable_caching,
            hash_block_size,
            enable_kv_cache_events,
            metrics_collector,
            pool=pool,
        )
        self.coordinator = coordinator_class(self.config)(self.config, self.block_pool, groups)
        self.kv_cache_config = kv_cache_config
        self.max_model_len = max_model_len
        self.enable_caching = enable_caching
        self.use_eagle = use_eagle
        self.log_stats = log_stats
        self.metrics_collector = metrics_collector
        self.num_kv_cache_groups = len(groups)
        self.kv_cache_event_metadata = [(kind_of(spec), window_of(spec)) for spec in self.config.specs]
        self.empty_kv_cache_blocks = self._manager.empty_kv_cache_blocks

    @property
    def usage(self) -> float:
        """The fraction of blocks that are held [USAGE-1]."""
        return self._manager.usage

    @property
    def prefix_cache_stats(self) -> PrefixCacheStats | None:
        """The statistics so far; None if they are not kept [STATS-1]."""
        return self._manager.prefix_cache_stats

    def make_prefix_cache_stats(self) -> PrefixCacheStats | None:
        """The statistics since the last call [STATS-2]."""
        return self._manager.make_prefix_cache_stats()

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        """The longest hit: its blocks by group, and its length in tokens [HIT-6, HIT-8]."""
        return self._manager.get_computed_blocks(request)

    def allocate_slots(
        self,
        request: Request,
        num_new_tokens: int,
        num_new_computed_tokens: int = 0,
        new_computed_blocks: KVCacheBlocks | None = None,
        num_lookahead_tokens: int = 0,
        num_external_computed_tokens: int = 0,
        delay_cache_blocks: bool = False,
        num_encoder_tokens: int = 0,
        full_sequence_must_fit: bool = False,
        reserved_blocks: int = 0,
    ) -> KVCacheBlocks | None:
        """Give the request slots for its next step, or None if they do not fit [ALLOC-1 to ALLOC-15]."""
        return self._manager.allocate_slots(
            request,
            num_new_tokens,
            num_new_computed_tokens,
            new_computed_blocks,
            num_lookahead_tokens,
            num_external_computed_tokens,
            delay_cache_blocks,
            num_encoder_tokens,
            full_sequence_must_fit,
            reserved_blocks,
        )

    def create_kv_cache_blocks(self, blocks: tuple[Sequence[KVCacheBlock], ...]) -> KVCacheBlocks:
        """Blocks as a result [DATA-7]."""
        return self._manager.create_kv_cache_blocks(blocks)

    def cache_blocks(self, request: Request, num_computed_tokens: int) -> None:
        """Cache the full blocks among the first tokens [ALLOC-16]."""
        self._manager.cache_blocks(request, num_computed_tokens)

    def free(self, request: Request) -> None:
        """Release all blocks of the request [FREE-3]."""
        self._manager.free(request)

    def remove_skipped_blocks(self, request_id: str, total_computed_tokens: int) -> None:
        """Release the blocks that no later step reads [SKIP-1]."""
        self._manager.remove_skipped_blocks(RequestId(request_id), total_computed_tokens)

    def evict_blocks(self, block_ids: set[int]) -> None:
        """Forget the content of blocks [POOL-8]."""
        self._manager.evict_blocks(block_ids)

    def reset_prefix_cache(self) -> bool:
        """Forget all content; False while any block is held [RESET-1]."""
        return self._manager.reset_prefix_cache()

    def new_step_starts(self) -> None:
        """A scheduling step begins [PROTO-1]."""
        self._manager.new_step_starts()

    def get_blocks(self, request_id: str) -> KVCacheBlocks:
        """The request's live tables by group [ALLOC-17]."""
        return self._manager.get_blocks(RequestId(request_id))

    def get_block_ids(self, request_id: str) -> tuple[list[BlockId], ...]:
        """The ids of `get_blocks` [ALLOC-17]."""
        return self._manager.get_block_ids(RequestId(request_id))

    def get_num_common_prefix_blocks(self, running_request_id: str) -> list[Blocks]:
        """By group, how many leading blocks all requests share [COMMON-1 to COMMON-3]."""
        return self._manager.get_num_common_prefix_blocks(RequestId(running_request_id))

    def take_new_block_ids(self) -> list[BlockId]:
        """The blocks whose memory is to be zeroed, once [IDS-1]."""
        return self._manager.take_new_block_ids()

    def take_events(self) -> list[KVCacheEvent]:
        """The events since the last call, each with the facts of its group [EVENT-1, EVENT-6]."""
        events = [shown(event) for event in self._manager.take_events()]
        for event in events:
            if isinstance(event, kv_events.BlockStored) and event.kv_cache_spec_kind is None:
                self._tell_group(event)
        return events

    def _tell_group(self, event: kv_events.BlockStored) -> None:
        if event.group_idx is None:
            return
        if not 0 <= event.group_idx < self.num_kv_cache_groups:
            logger.warning("Group index `%s` not in KV cache metadata", event.group_idx)
            return
        kind, window = self.kv_cache_event_metadata[event.group_idx]
        event.kv_cache_spec_kind, event.kv_cache_spec_sliding_window = kind, window
