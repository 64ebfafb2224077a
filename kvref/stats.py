"""Prefix cache statistics [STATS-1 to STATS-3]."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from kvref.blocks import KVCacheBlock
from spec.units import Tokens


@dataclass
class PrefixCacheStats:
    """Counts since the last `make_prefix_cache_stats`, one a lookup and not one an admission [Q-27].

    `queries` and `hits` are in tokens; lookups of preempted requests are counted apart.
    """

    reset: bool = False
    requests: int = 0
    queries: int = 0
    hits: int = 0
    preempted_requests: int = 0
    preempted_queries: int = 0
    preempted_hits: int = 0

    def record(self, num_tokens: Tokens, num_hits: Tokens, *, preempted: bool) -> None:
        """Count one lookup [STATS-1]."""
        if preempted:
            self.preempted_requests += 1
            self.preempted_queries += num_tokens
            self.preempted_hits += num_hits
        else:
            self.requests += 1
            self.queries += num_tokens
            self.hits += num_hits


class CachingMetrics:
    """The hit rate over the latest requests [STATS-3].

    The oldest observations are dropped while the others are more than `max_recent_requests`
    requests together; the latest one always stays.
    """

    def __init__(self, max_recent_requests: int = 1000) -> None:
        self.max_recent_requests = max_recent_requests
        self.query_queue: deque[tuple[int, int, int]] = deque()
        self.aggregated_requests = 0
        self.aggregated_query_total = 0
        self.aggregated_query_hit = 0

    @property
    def hit_rate(self) -> float:
        """The fraction of queried tokens that were hit: 0.0 to 1.0."""
        queried = self.aggregated_query_total
        return self.aggregated_query_hit / queried if queried else 0.0

    @property
    def empty(self) -> bool:
        """Whether nothing was observed."""
        return not self.aggregated_requests

    def observe(self, stats: PrefixCacheStats) -> None:
        """Count what `make_prefix_cache_stats` returned; lookups of preempted requests are left out."""
        if stats.reset:
            self.reset()
        if stats.requests == 0:
            return
        self._add((stats.requests, stats.queries, stats.hits), 1)
        self.query_queue.append((stats.requests, stats.queries, stats.hits))
        while len(self.query_queue) > 1 and self.aggregated_requests > self.max_recent_requests:
            self._add(self.query_queue.popleft(), -1)

    def reset(self) -> None:
        """Forget all observations."""
        self.query_queue.clear()
        self.aggregated_requests = self.aggregated_query_total = self.aggregated_query_hit = 0

    def _add(self, observation: tuple[int, int, int], sign: int) -> None:
        requests, queries, hits = observation
        self.aggregated_requests += sign * requests
        self.aggregated_query_total += sign * queries
        self.aggregated_query_hit += sign * hits


class MetricsCollector(Protocol):
    """Hooks that observe the life of blocks [METRIC-1]."""

    def on_block_allocated(self, block: KVCacheBlock) -> None:
        """A block was taken from the free queue."""

    def on_block_accessed(self, block: KVCacheBlock) -> None:
        """A cached block was hit."""

    def on_block_evicted(self, block: KVCacheBlock) -> None:
        """A block is about to lose its content, if it has any."""

    def reset(self) -> None:
        """The prefix cache was emptied."""
