"""Statistics, which kvref has by the same names [STATS-1, STATS-3]."""

from kvref.stats import CachingMetrics, PrefixCacheStats

__all__ = ["CachingMetrics", "PrefixCacheStats"]
