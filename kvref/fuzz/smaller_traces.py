"""Smaller traces than a given one, in the order in which they are tried: coarse ones first."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import gcd
from typing import Final

import msgspec

from kvref.fuzz import smaller_configurations, smaller_histories
from kvref.fuzz.smaller_histories import Operations
from kvref.operations import Trace

Smaller = Callable[[Trace], Iterator[Trace]]
"""Smaller traces than one, to be tried in this order."""

COARSE: Final = tuple(2**power for power in range(14, 5, -1))
"""So many operations, or requests, are left out at once where there are thousands."""

FINE: Final = (32, 16, 8, 4, 3, 2, 1)
MOST_POOLS: Final = 24
"""Pools of fewer blocks are tried one by one."""


def size_of(trace: Trace) -> tuple[tuple[int, ...], ...]:
    """Fewer operations first, then tokens, then the rest of the history; the configuration between them."""
    operations, tokens, *rest = smaller_histories.size_of(trace.operations)
    groups, *numbers = smaller_configurations.size_of(trace.configuration)
    return ((operations, groups, tokens), tuple(numbers), tuple(rest))


def _of_histories(smaller: Callable[[Operations], Iterator[Operations]]) -> Smaller:
    def candidates(trace: Trace) -> Iterator[Trace]:
        return (msgspec.structs.replace(trace, operations=one) for one in smaller(trace.operations))

    return candidates


def _configurations(trace: Trace) -> Iterator[Trace]:
    for one in smaller_configurations.smaller(trace.configuration):
        yield msgspec.structs.replace(trace, configuration=one)


def _all_divided(trace: Trace) -> Iterator[Trace]:
    """Block sizes, spans and prompts at once; with what a request and a step may have, or without."""
    configuration = trace.configuration
    sizes = (group.block_size for group in configuration.groups)
    for divisor in sorted({gcd(*sizes), 8, 4, 3, 2} - {0, 1}, reverse=True):
        for one in smaller_configurations.divided(configuration, divisor):
            limited = msgspec.structs.replace(
                one,
                max_model_len=-(-one.max_model_len // divisor),
                max_num_batched_tokens=one.max_num_batched_tokens
                and -(-one.max_num_batched_tokens // divisor),
            )
            for limits, up in product((limited, one), (True, False)):
                operations = smaller_histories.divided(trace.operations, divisor, up=up)
                yield msgspec.structs.replace(trace, configuration=limits, operations=operations)


def _pools(trace: Trace) -> Iterator[Trace]:
    """A smaller pool, and no prompt that would overflow it; with a request less, or all of them."""
    configuration = trace.configuration
    histories = [trace.operations, *smaller_histories.without_requests(trace.operations, 1)]
    count = configuration.num_blocks
    parts = (count // 8, count // 4, count // 2, count * 3 // 4, count - 2, count - 1)
    for blocks in sorted({*range(1, min(count, MOST_POOLS)), *(one for one in parts if one > 0)}):
        longest = max(2, min(configuration.max_model_len, blocks * configuration.scheduler_block_size))
        one = msgspec.structs.replace(configuration, num_blocks=blocks, max_model_len=longest)
        for operations in histories:
            yield msgspec.structs.replace(trace, configuration=one, operations=operations)


PASSES: Final[tuple[Smaller, ...]] = (
    *(_of_histories(partial(smaller_histories.without_stretch, length=length)) for length in COARSE),
    *(_of_histories(partial(smaller_histories.without_requests, count=count)) for count in (*COARSE, *FINE)),
    *(_of_histories(partial(smaller_histories.without_stretch, length=length)) for length in FINE),
    _configurations,
    _all_divided,
    _pools,
    *map(
        _of_histories,
        (
            smaller_histories.with_fewer_tokens,
            smaller_histories.with_larger_steps,
            smaller_histories.with_steps_in_flight,
            smaller_histories.with_longer_prompts,
            smaller_histories.with_smaller,
            smaller_histories.without_pair,
            smaller_histories.with_short_names,
        ),
    ),
)
