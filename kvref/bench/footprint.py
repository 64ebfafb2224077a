"""What a manager with a large pool costs by itself: construction, memory, garbage collection."""

import gc
import tracemalloc
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any

from kvref.bench.implementations import Implementation
from kvref.bench.results import Footprint
from kvref.bench.workloads import BLOCK, configured, content_of
from kvref.operations import FullGroup

CACHED_POOL = 65_536
PROMPT_BLOCKS = 4_096


def footprint(
    implementation: Implementation, num_blocks: int, repeats: int, tell: Callable[[str], None]
) -> Footprint:
    """Build managers of one full-attention group, one after another."""
    configuration = configured([FullGroup(BLOCK)], num_blocks)
    seconds = []
    manager: Any = None
    for repeat in range(repeats):
        tell(f"construction: {num_blocks} blocks, {implementation.name}, {repeat + 1} of {repeats}")
        manager = None
        gc.collect()
        gc.freeze()
        start = perf_counter()
        manager = implementation.manager(configuration)
        seconds.append(perf_counter() - start)
    gc.collect()
    start = perf_counter()
    gc.collect()
    collecting = perf_counter() - start
    del manager
    gc.unfreeze()
    tell(f"memory: {implementation.name}")
    empty, cached = _bytes(implementation)
    return Footprint(
        implementation.name,
        num_blocks,
        tuple(seconds),
        collecting,
        empty / CACHED_POOL,
        cached / CACHED_POOL,
    )


def _bytes(implementation: Implementation) -> tuple[int, int]:
    """What Python allocates for an unused pool, and for one in which all blocks hold content.

    The digests are the requests', and are there before.
    """
    rng = Random(0)  # noqa: S311 - no secret
    length = PROMPT_BLOCKS * BLOCK
    requests = []
    for number in range(CACHED_POOL // PROMPT_BLOCKS):
        content = content_of(rng, length)
        digests = [content[i : i + 32] for i in range(0, len(content), 32)]
        requests.append(implementation.request(f"request-{number}", [0] * length, digests))
    gc.collect()
    tracemalloc.start()
    try:
        manager = implementation.manager(configured([FullGroup(BLOCK)], CACHED_POOL + 1))
        gc.collect()
        empty = tracemalloc.get_traced_memory()[0]
        for request in requests:
            request.num_computed_tokens = 0
            manager.allocate_slots(request, length)
        for request in requests:
            manager.free(request)
        gc.collect()
        return empty, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
