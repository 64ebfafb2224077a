"""Prefix cache statistics: STATS-1, STATS-2, Q-27."""

from kvref.stats import PrefixCacheStats
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
