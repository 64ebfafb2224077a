"""Which blocks are worth keeping: useful and kept, exhaustively over small parameters.

RETAIN-3, RETAIN-4, RETAIN-5, SWA-7, SWA-8, SWA-9, MGR-5, COORD-4, COORD-5, EAGLE-3, Q-9, Q-12, Q-36,
Q-38, Q-39, Q-40, Q-41.
"""

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec.attention import Attention
from spec.retention import Retention, cacheable_tokens, is_kept, is_needed_at, is_useful
from spec.units import Blocks, Tokens
from tests.spec.naive import (
    attentions,
    blocks_holding,
    chunked,
    full,
    mamba,
    read_from,
    sliding,
)


def retention(alignment: int, interval: int | None = None) -> Retention:
    return Retention(Tokens(alignment), None if interval is None else Tokens(interval))


def kept(
    attention: Attention, rule: Retention, *, prompt: int, tokens: int | None = None, eagle: bool = False
) -> set[int]:
    """The blocks of a request that the policy keeps, out of the full ones."""
    count = (prompt if tokens is None else tokens) // attention.block_size
    return {
        index
        for index in range(count)
        if is_kept(attention, rule, eagle=eagle, block=Blocks(index), prompt_tokens=Tokens(prompt))
    }


# What is observed


@pytest.mark.parametrize(
    ("interval", "expected"), [(64, {3, 7, 11, 14, 15}), (0, {14}), (None, set(range(16)))]
)
def test_a_lone_window_keeps_the_tails_of_served_lengths(interval: int | None, expected: set[int]) -> None:
    # RETAIN-4: bs 16, W 16, a prompt of 256 tokens.
    assert kept(sliding(16, 16), retention(16, interval), prompt=256) == expected


@pytest.mark.parametrize(("interval", "expected"), [(64, {7, 11, 15}), (0, {11})])
def test_a_window_beside_full_attention(interval: int, expected: set[int]) -> None:
    # RETAIN-4: full 32, sliding 8 W 8, a prompt of 128 tokens.
    assert kept(sliding(8, 8), retention(32, interval), prompt=128) == expected


def test_eagle_keeps_one_block_behind_the_boundary() -> None:
    # RETAIN-4: as before with EAGLE and 127 tokens.
    assert kept(sliding(8, 8), retention(32, 0), prompt=127, eagle=True) == {11, 12}


def test_without_an_interval_every_aligned_length_is_served() -> None:
    # SWA-9: full 32, sliding 8 W 8.
    assert kept(sliding(8, 8), retention(32), prompt=64) == {3, 7}
    assert kept(sliding(8, 8), retention(32), prompt=72, eagle=True) == {3, 4, 7, 8}


def test_a_window_of_one_token_keeps_nothing() -> None:
    # SWA-8, Q-9: there is nothing to keep, because nothing before it is read.
    assert kept(sliding(4, 1), retention(4), prompt=40) == set()


def test_the_prompt_boundary_ignores_generated_tokens() -> None:
    # Q-38, RETAIN-5: sliding 4 W 4, interval 0, a prompt of 9, 20 outputs.
    assert kept(sliding(4, 4), retention(4, 0), prompt=9, tokens=29) == {1}


def test_overlapping_tails_keep_everything() -> None:
    # sliding 4 W 8, interval 8: two blocks a tail, two blocks a segment.
    assert kept(sliding(4, 8), retention(4, 8), prompt=64) == set(range(16))


def test_eagle_keeps_block_0_where_the_only_boundary_is_0() -> None:
    # sliding 4 W 4 under EAGLE, interval 0, 4 tokens.
    rule = retention(4, 0)
    assert kept(sliding(4, 4), rule, prompt=4, eagle=True) == {0}
    assert rule.prompt_boundary(Tokens(4)) == 0


def test_a_lone_window_is_thinned_out_at_the_schedulers_block_size() -> None:
    # sliding 4 W 4, scheduler 8, 24 tokens.
    assert kept(sliding(4, 4), retention(8), prompt=24) == {1, 3, 5}


def test_interval_0_serves_the_prompt_boundary_alone() -> None:
    # sliding 4 W 4, a prompt of 20: only the block before 16.
    rule = retention(4, 0)
    assert rule.segment() is None
    assert kept(sliding(4, 4), rule, prompt=20) == {3}
    assert [length for length in range(0, 41, 4) if rule.wants(Tokens(length), Tokens(20))] == [16]


# Useful and kept


KINDS: list[Attention] = [
    *(sliding(size, window) for size, window in product((1, 2, 3), range(1, 8))),
    *(chunked(size, chunk) for size, chunk in product((1, 2), (1, 2, 3, 4))),
    *(mamba(size) for size in (1, 2)),
    *(full(size) for size in (1, 2)),
]


def rules(attention: Attention) -> Iterator[Retention]:
    for factor in (1, 2, 3):
        alignment = attention.block_size * factor
        yield from (retention(alignment, interval) for interval in (None, 0, alignment, 2 * alignment))


@pytest.mark.parametrize("attention", KINDS, ids=repr)
@pytest.mark.parametrize("eagle", [False, True])
def test_useful_blocks_are_kept_and_windows_keep_little_else(*, attention: Attention, eagle: bool) -> None:
    thins_out = type(attention) is type(sliding(1, 1))
    count = 8
    for rule, prompt in product(rules(attention), (0, 1, 5, 9, 13)):
        size = attention.block_size
        # A block is needed at lengths up to a window behind it, rounded up to the next two segments.
        horizon = count * size + 8 + 4 * rule.alignment
        for index in range(count):
            block, tokens = Blocks(index), Tokens(prompt)
            is_block_useful = is_useful(
                attention, rule, eagle=eagle, block=block, prompt_tokens=tokens, horizon=Tokens(horizon)
            )
            is_block_kept = is_kept(attention, rule, eagle=eagle, block=block, prompt_tokens=tokens)
            assert is_block_kept or not is_block_useful, (rule, prompt, index)
            if thins_out and not (eagle and index == 0):
                assert is_block_useful or not is_block_kept, (rule, prompt, index)


@given(attentions(), st.integers(0, 12), st.integers(0, 14), st.booleans())
def test_a_block_is_needed_at_a_length_if_a_token_of_it_is_read_there(
    attention: Attention,
    prefix: int,
    block: int,
    eagle: bool,
) -> None:
    length = prefix * attention.block_size
    needed = blocks_holding(read_from(attention, length), attention.block_size)
    needed |= set(attention.eagle_blocks(Tokens(length))) if eagle else set()
    expected = length > 0 and block in needed
    assert is_needed_at(attention, eagle=eagle, block=Blocks(block), length=Tokens(length)) == expected


# How far caching goes


def cacheable(attention: Attention, alignment: int, tokens: int, *, eagle: bool, lone: bool = False) -> int:
    return cacheable_tokens(attention, Tokens(alignment), eagle=eagle, lone_group=lone, tokens=Tokens(tokens))


def test_several_groups_cache_up_to_the_last_aligned_length() -> None:
    # COORD-5, EX-4: full 8, sliding 2, 21 tokens.
    assert cacheable(sliding(2, 4), 8, 21, eagle=False) == 16
    assert cacheable(sliding(2, 4), 8, 7, eagle=False) == 0


def test_eagle_caches_one_block_more_but_not_before_the_first_alignment() -> None:
    # COORD-5, EAGLE-3, EAGLE-4.
    assert cacheable(sliding(2, 2), 8, 21, eagle=True) == 18
    assert cacheable(sliding(2, 2), 8, 17, eagle=True) == 17
    assert cacheable(sliding(2, 2), 8, 7, eagle=True) == 0


def test_a_lone_group_caches_every_full_block() -> None:
    # COORD-4
    assert cacheable(full(4), 4, 21, eagle=False, lone=True) == 21


@given(attentions(), st.integers(1, 3), st.integers(0, 60), st.booleans())
def test_all_that_a_served_length_needs_may_be_cached(
    attention: Attention,
    factor: int,
    tokens: int,
    eagle: bool,
) -> None:
    size, alignment = attention.block_size, attention.block_size * factor
    limit = cacheable(attention, alignment, tokens, eagle=eagle) // size
    for length, block in product(range(0, tokens + 1, alignment), range(tokens // size)):
        if is_needed_at(attention, eagle=eagle, block=Blocks(block), length=Tokens(length)):
            assert block < limit
