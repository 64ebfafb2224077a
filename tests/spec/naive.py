"""Attention told token by token, with no block arithmetic at all: what brute force starts from."""

from collections.abc import Iterable

from hypothesis import strategies as st

from spec.attention import (
    Attention,
    ChunkedLocalAttention,
    FullAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.units import Blocks, Tokens


def full(block_size: int) -> FullAttention:
    return FullAttention(Tokens(block_size))


def sliding(block_size: int, window: int) -> SlidingWindowAttention:
    return SlidingWindowAttention(Tokens(block_size), Tokens(window))


def chunked(block_size: int, chunk: int) -> ChunkedLocalAttention:
    return ChunkedLocalAttention(Tokens(block_size), Tokens(chunk))


def mamba(block_size: int, speculative: int = 0) -> MambaState:
    return MambaState(Tokens(block_size), Blocks(speculative))


def read_by(attention: Attention, position: int) -> range:
    """The positions before `position` that the token at `position` reads."""
    match attention:
        case SlidingWindowAttention(window=window):
            return range(max(0, position - window + 1), position)
        case ChunkedLocalAttention(chunk=chunk):
            return range(position // chunk * chunk, position)
        case MambaState():
            # The running state lies in the slot of the token before.
            return range(max(0, position - 1), position)
        case _:
            return range(position)


def read_from(attention: Attention, position: int) -> set[int]:
    """The positions before `position` that any token from `position` on reads."""
    return set(read_by(attention, position)).union(
        *(
            set(read_by(attention, later)) & set(range(position))
            for later in range(position, position + 8)
            if not isinstance(attention, MambaState)
        )
    )


def blocks_holding(positions: Iterable[int], block_size: int) -> set[int]:
    return {position // block_size for position in positions}


def attentions(block_sizes: Iterable[int] = (1, 2, 3, 4)) -> st.SearchStrategy[Attention]:
    """Every kind that can be cached, small."""
    sizes = st.sampled_from(list(block_sizes))
    return st.one_of(
        st.builds(full, sizes),
        st.builds(sliding, sizes, st.integers(1, 9)),
        st.builds(chunked, sizes, st.integers(1, 9)),
        st.builds(mamba, sizes, st.integers(0, 2)),
    )
