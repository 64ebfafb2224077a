"""The life of blocks in figures: how long they keep their content, and how often it is used [METRIC-1].

A collector is handed to a manager, whose hooks call it. Times are in nanoseconds of a monotonic
clock where they are kept, and in seconds where they are told.
"""

import random
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from kvref.blocks import KVCacheBlock
from kvref.errors import ConfigurationError
from spec.units import BlockId

KEPT_ACCESSES = 4
_NANOSECONDS = 1e9


def _now() -> int:
    return time.monotonic_ns()


@dataclass
class BlockLife:
    """One block since it was taken from the free queue; the latest accesses are kept."""

    birth_time_ns: int = field(default_factory=_now)
    last_access_ns: int = 0
    access_history: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_ACCESSES))

    def __post_init__(self) -> None:
        self.last_access_ns = self.last_access_ns or self.birth_time_ns

    def record_access(self) -> None:
        """The block was hit, now."""
        self.last_access_ns = _now()
        self.access_history.append(self.last_access_ns)

    def get_lifetime_seconds(self) -> float:
        """Since the block was taken."""
        return (_now() - self.birth_time_ns) / _NANOSECONDS

    def get_idle_time_seconds(self) -> float:
        """Since the block was last hit, or taken if it never was."""
        return (_now() - self.last_access_ns) / _NANOSECONDS

    def get_reuse_gaps_seconds(self) -> list[float]:
        """Between the accesses that are kept."""
        return [(later - earlier) / _NANOSECONDS for earlier, later in pairwise(self.access_history)]


@dataclass(frozen=True)
class Eviction:
    """The life of a block that lost its content."""

    lifetime_seconds: float
    idle_seconds: float
    reuse_gaps_seconds: tuple[float, ...]


class BlockMetrics:
    """Follows a random `sample_rate` of the blocks that are taken, 0 < rate <= 1.

    Every choice follows from `seed`, if one is given. Raises ConfigurationError for another rate.
    """

    def __init__(self, sample_rate: float = 0.01, seed: int | None = None) -> None:
        if not 0 < sample_rate <= 1:
            raise ConfigurationError(f"sample_rate {sample_rate} must be above 0 and at most 1")
        self.sample_rate = sample_rate
        self.block_metrics: dict[BlockId, BlockLife] = {}
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._evictions: list[Eviction] = []

    def should_sample_block(self) -> bool:
        """Whether to follow the next block that is taken."""
        return self._random.random() < self.sample_rate

    def on_block_allocated(self, block: KVCacheBlock) -> None:
        """A block was taken from the free queue."""
        if self.should_sample_block():
            self.block_metrics[block.block_id] = BlockLife()

    def on_block_accessed(self, block: KVCacheBlock) -> None:
        """A cached block was hit."""
        if block.block_id in self.block_metrics:
            self.block_metrics[block.block_id].record_access()

    def on_block_evicted(self, block: KVCacheBlock) -> None:
        """A block is about to lose its content, if it has any."""
        life = self.block_metrics.pop(block.block_id, None)
        if life is not None:
            self._evictions.append(
                Eviction(
                    life.get_lifetime_seconds(),
                    life.get_idle_time_seconds(),
                    tuple(life.get_reuse_gaps_seconds()),
                )
            )

    def reset(self) -> None:
        """The prefix cache was emptied: follow nothing any more."""
        self.block_metrics.clear()

    def drain_events(self) -> list[Eviction]:
        """The evictions since the last call, once."""
        evictions, self._evictions = self._evictions, []
        return evictions
