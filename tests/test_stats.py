"""Prefix cache statistics: STATS-1 to STATS-3, Q-27."""

from kvref.stats import CachingMetrics, PrefixCacheStats
from spec.units import Tokens


def test_lookups_are_counted_in_requests_and_tokens() -> None:
    stats = PrefixCacheStats()
    stats.record(Tokens(9), Tokens(8), preempted=False)
    stats.record(Tokens(5), Tokens(0), preempted=False)
    assert stats == PrefixCacheStats(requests=2, queries=14, hits=8)


def test_lookups_of_preempted_requests_are_counted_apart() -> None:
    stats = PrefixCacheStats()
    stats.record(Tokens(9), Tokens(8), preempted=True)
    assert stats == PrefixCacheStats(preempted_requests=1, preempted_queries=9, preempted_hits=8)


def observed(*stats: tuple[int, int, int], most: int = 5) -> CachingMetrics:
    metrics = CachingMetrics(max_recent_requests=most)
    for requests, queries, hits in stats:
        metrics.observe(PrefixCacheStats(requests=requests, queries=queries, hits=hits))
    return metrics


def test_the_hit_rate_is_that_of_the_latest_requests() -> None:
    assert observed((2, 10, 5), (3, 10, 10)).hit_rate == 0.75
    assert observed((2, 10, 5), (3, 10, 10), (1, 10, 0)).hit_rate == 0.5


def test_the_latest_observation_stays_however_many_requests_it_has() -> None:
    metrics = observed((2, 10, 5), (9, 10, 1))
    assert (metrics.aggregated_requests, metrics.hit_rate) == (9, 0.1)


def test_without_observations_the_hit_rate_is_0() -> None:
    metrics = observed((0, 0, 0))
    assert metrics.empty
    assert metrics.hit_rate == 0.0


def test_a_reset_of_the_cache_starts_the_hit_rate_anew() -> None:
    metrics = observed((2, 10, 5))
    metrics.observe(PrefixCacheStats(reset=True, requests=1, queries=4, hits=4))
    assert (metrics.aggregated_query_total, metrics.hit_rate) == (4, 1.0)
