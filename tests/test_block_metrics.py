"""The life of blocks in figures: METRIC-1."""

from itertools import count
from unittest.mock import patch

import pytest

from kvref.block_metrics import BlockMetrics, Eviction
from kvref.blocks import KVCacheBlock
from kvref.config import KVCacheConfig, KVCacheGroupSpec
from kvref.errors import ConfigurationError
from kvref.kv_cache_spec import FullAttentionSpec
from kvref.reference import KVCacheManager
from kvref.request import Request
from kvref.targets.inprocess import FLOAT16
from spec.units import BlockId, RequestId

SECOND = 1_000_000_000


def test_an_eviction_tells_lifetime_idle_time_and_the_gaps_between_the_last_four_accesses() -> None:
    metrics, block = BlockMetrics(1.0), KVCacheBlock(BlockId(3))
    with patch("time.monotonic_ns", side_effect=[s * SECOND for s in (10, 11, 13, 16, 20, 25, 27, 27)]):
        metrics.on_block_allocated(block)
        for _ in range(5):
            metrics.on_block_accessed(block)
        metrics.on_block_evicted(block)
    assert metrics.drain_events() == [Eviction(17.0, 2.0, (3.0, 4.0, 5.0))]
    assert metrics.drain_events() == []


def test_a_block_that_was_never_hit_was_idle_all_its_life() -> None:
    metrics, block = BlockMetrics(1.0), KVCacheBlock(BlockId(3))
    with patch("time.monotonic_ns", side_effect=[s * SECOND for s in (10, 14, 14)]):
        metrics.on_block_allocated(block)
        metrics.on_block_evicted(block)
    assert metrics.drain_events() == [Eviction(4.0, 4.0, ())]


def test_blocks_that_are_not_followed_are_told_nothing_of() -> None:
    metrics, block = BlockMetrics(1.0), KVCacheBlock(BlockId(3))
    metrics.on_block_accessed(block)
    metrics.on_block_evicted(block)
    metrics.on_block_allocated(block)
    metrics.reset()
    metrics.on_block_evicted(block)
    assert metrics.drain_events() == []


def test_a_seed_chooses_the_same_blocks_again_at_about_the_rate() -> None:
    def followed(seed: int) -> list[BlockId]:
        metrics = BlockMetrics(0.25, seed)
        for number in range(1000):
            metrics.on_block_allocated(KVCacheBlock(BlockId(number)))
        return list(metrics.block_metrics)

    assert followed(1) == followed(1) != followed(2)
    assert 180 < len(followed(1)) < 320


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="sample_rate"):
        BlockMetrics(rate)


def test_a_manager_calls_the_hooks() -> None:
    spec = FullAttentionSpec(4, num_kv_heads=1, head_size=8, dtype=FLOAT16)
    metrics = BlockMetrics(1.0)
    manager = KVCacheManager(
        KVCacheConfig(4, (KVCacheGroupSpec((), spec),)), 100, 4, 4, metrics_collector=metrics
    )
    ticks = count(0, SECOND)
    with patch("time.monotonic_ns", side_effect=lambda: next(ticks)):
        manager.allocate_slots(Request(RequestId("r"), [1, 2, 3]), 3, delay_cache_blocks=True)
        assert list(metrics.block_metrics) == [1]
        manager.evict_blocks([1])
    assert len(metrics.drain_events()) == 1
