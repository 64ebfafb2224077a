"""DATA-9, HASH-8, NEED-1, GET-1, COORD-5, SWA-7: how tokens and blocks are counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec.arithmetic import covering_blocks, full_blocks, round_down, tokens_in
from spec.units import Blocks, Tokens

SIZES = st.integers(1, 40)
COUNTS = st.integers(0, 400)


@pytest.mark.parametrize(
    ("tokens", "full", "covering", "aligned"),
    [(0, 0, 0, 0), (1, 0, 1, 0), (3, 0, 1, 0), (4, 1, 1, 4), (5, 1, 2, 4), (8, 2, 2, 8), (9, 2, 3, 8)],
)
def test_tokens_in_blocks_of_four(tokens: int, full: int, covering: int, aligned: int) -> None:
    assert full_blocks(Tokens(tokens), Tokens(4)) == full
    assert covering_blocks(Tokens(tokens), Tokens(4)) == covering
    assert round_down(Tokens(tokens), Tokens(4)) == aligned


@given(COUNTS, SIZES)
def test_a_block_is_full_if_its_last_token_is_there(tokens: int, size: int) -> None:
    positions = range(tokens)
    full = {p // size for p in positions if p % size == size - 1}
    assert full_blocks(Tokens(tokens), Tokens(size)) == len(full)


@given(COUNTS, SIZES)
def test_blocks_cover_tokens_if_every_token_lies_in_one(tokens: int, size: int) -> None:
    assert covering_blocks(Tokens(tokens), Tokens(size)) == len({p // size for p in range(tokens)})


@given(COUNTS, SIZES)
def test_rounding_down_finds_the_largest_multiple(tokens: int, size: int) -> None:
    largest = max(m for m in range(0, tokens + 1, size))
    assert round_down(Tokens(tokens), Tokens(size)) == largest
    assert tokens_in(full_blocks(Tokens(tokens), Tokens(size)), Tokens(size)) == largest


@given(st.integers(0, 50), SIZES)
def test_full_blocks_are_neither_more_nor_less_than_they_hold(blocks: int, size: int) -> None:
    tokens = tokens_in(Blocks(blocks), Tokens(size))
    assert full_blocks(tokens, Tokens(size)) == covering_blocks(tokens, Tokens(size)) == blocks
