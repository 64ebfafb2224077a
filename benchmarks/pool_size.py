"""What an operation on the reference costs, from 1 k to 1 M blocks in the pool: it must not depend on it.

One process, all sizes in turn, repeated; the median of each, and its ratio to the smallest pool. What
is left of a slope, in `free`, is the processor's cache: the free queue's hash table outgrows it, so a block
costs a few cache misses more, however large the pool becomes from there.
"""

import gc
import time
from statistics import median

from kvref.config import KVCacheConfig, KVCacheGroupSpec
from kvref.hashing import BlockHasher
from kvref.kv_cache_spec import FullAttentionSpec, KVCacheSpec, SlidingWindowSpec
from kvref.reference import KVCacheManager
from kvref.request import Request
from kvref.targets.reference import FLOAT16
from spec.units import RequestId, Tokens

POOLS = (1_000, 10_000, 100_000, 1_000_000)
REPEATS = 7
PROMPT = 2_048
BLOCK = 16
DECODES = 64


def manager_of(num_blocks: int) -> KVCacheManager:
    """A hybrid of full attention and a sliding window of 256 tokens."""
    specs: tuple[KVCacheSpec, ...] = (
        FullAttentionSpec(BLOCK, num_kv_heads=1, head_size=8, dtype=FLOAT16),
        SlidingWindowSpec(BLOCK, num_kv_heads=1, head_size=8, dtype=FLOAT16, sliding_window=256),
    )
    groups = tuple(KVCacheGroupSpec((f"layer.{i}",), spec) for i, spec in enumerate(specs))
    return KVCacheManager(KVCacheConfig(num_blocks, groups), 65_536, BLOCK, BLOCK)


def measure(manager: KVCacheManager, request: Request) -> dict[str, float]:
    """Microseconds of one admission, one decode step, one lookup and one free."""
    laps = [time.perf_counter()]

    def lap() -> float:
        laps.append(time.perf_counter())
        return (laps[-1] - laps[-2]) * 1e6

    found, hit = manager.get_computed_blocks(request)
    seen = {"lookup": lap()}
    request.num_computed_tokens = Tokens(0)
    manager.allocate_slots(request, request.num_tokens - hit, hit, found)
    seen["prefill"] = lap()
    for step in range(DECODES):
        request.num_computed_tokens = Tokens(PROMPT + step)
        manager.allocate_slots(request, 1)
    seen["decode"] = lap() / DECODES
    manager.free(request)
    seen["free"] = lap()
    return seen


def main() -> None:
    """Print the table."""
    hasher = BlockHasher.seeded("sha256_cbor", Tokens(BLOCK), "0")
    results: dict[int, list[dict[str, float]]] = {pool: [] for pool in POOLS}
    managers = {pool: manager_of(pool) for pool in POOLS}
    gc.collect()
    gc.freeze()
    for repeat in range(REPEATS + 1):
        for pool, manager in managers.items():
            name = RequestId(f"{pool}/{repeat}")
            request = Request(name, list(range(PROMPT)), block_hasher=hasher)
            seen = measure(manager, request)
            if repeat:
                results[pool].append(seen)
    print(f"reference, {PROMPT}-token prompts in blocks of {BLOCK}: µs a call (ratio to {POOLS[0]} blocks)")
    for phase in ("lookup", "prefill", "decode", "free"):
        figures = {pool: median(seen[phase] for seen in results[pool]) for pool in POOLS}
        cells = "  ".join(f"{pool}: {us:8.1f} ({us / figures[POOLS[0]]:.2f})" for pool, us in figures.items())
        print(f"{phase:8s} {cells}")


if __name__ == "__main__":
    main()
