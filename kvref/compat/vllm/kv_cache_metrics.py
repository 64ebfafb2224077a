"""The life of blocks in figures, by vLLM's names [METRIC-1]."""

from kvref.block_metrics import BlockLife, BlockMetrics, Eviction
from kvref.errors import ConfigurationError

BlockMetricsState = BlockLife
KVCacheEvictionEvent = Eviction

__all__ = ["BlockMetricsState", "KVCacheEvictionEvent", "KVCacheMetricsCollector"]


class KVCacheMetricsCollector(BlockMetrics):
    """Samples blocks. Raises AssertionError for a rate that is none."""

    def __init__(self, sample_rate: float = 0.01) -> None:
        try:
            super().__init__(sample_rate)
        except ConfigurationError as refusal:
            raise AssertionError(*refusal.args) from refusal
