"""Prefix cache statistics [STATS-1, STATS-2]."""

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
