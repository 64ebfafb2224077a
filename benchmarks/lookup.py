"""What the declarative lookup costs: probes a block on caches that occur, and in the worst case.

The worst case of full attention is a hole at the very first block with all others cached, which
only `evict_blocks` can make: every length is tried down to that hole. For a sliding window it is a
hole in every window. Everything else costs about one probe a block.
"""

import time
from collections.abc import Callable

from spec.attention import Attention, FullAttention, SlidingWindowAttention
from spec.hits import SpecGroup, longest_hit
from spec.units import Blocks, Tokens

BLOCK = Tokens(16)
LENGTHS = (8_192, 32_768, 131_072)
WINDOW = Tokens(1_024)


def probes(attentions: list[Attention], is_cached: Callable[[int], bool], tokens: int) -> tuple[int, float]:
    """How many blocks one lookup of `tokens` tokens asks for, and how many seconds it takes."""
    asked = 0

    def probe(index: Blocks) -> bool:
        nonlocal asked
        asked += 1
        return is_cached(index)

    groups = [SpecGroup(attention, eagle=False, is_cached=probe) for attention in attentions]
    start = time.perf_counter()
    longest_hit(groups, Tokens(tokens), BLOCK)
    return asked, time.perf_counter() - start


def main() -> None:
    """Print the table."""
    full, window = FullAttention(BLOCK), SlidingWindowAttention(BLOCK, WINDOW)
    every = WINDOW // BLOCK
    cases: list[tuple[str, list[Attention], Callable[[int], bool]]] = [
        ("full, all cached", [full], lambda _: True),
        ("full, half cached", [full], lambda i: i < LENGTHS[0] // BLOCK // 2),
        ("full, nothing cached", [full], lambda _: False),
        ("full + window, all cached", [full, window], lambda _: True),
        ("window, a hole in every window (worst)", [window], lambda i: i % every != 0),
        ("full, first block missing (worst)", [full], lambda i: i > 0),
    ]
    print(f"probes a block (seconds) of one lookup, blocks of {BLOCK} tokens, window {WINDOW}")
    for name, attentions, is_cached in cases:
        cells = []
        for tokens in LENGTHS:
            asked, seconds = probes(attentions, is_cached, tokens)
            cells.append(f"{tokens}: {asked / (tokens // BLOCK):8.2f} ({seconds:.3f})")
        print(f"{name:40s} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
