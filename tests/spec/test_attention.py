"""What each kind of attention reads and forgets, against token-by-token brute force.

FULL-1, SWA-1, SWA-5, CHUNK-2, MAMBA-1, MAMBA-2, CROSS-3, SINK-1, MGR-2, SKIP-1, HIT-7, EAGLE-1,
EAGLE-2, Q-1.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec.attention import (
    AlignedMambaState,
    Attention,
    CrossAttention,
    MambaState,
    SinkAttention,
)
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

PREFIXES = st.integers(0, 12)


def blocks_read(attention: Attention, length: int) -> list[int]:
    return list(attention.blocks_read(Tokens(length)))


def test_full_attention_reads_everything() -> None:
    assert blocks_read(full(4), 12) == [0, 1, 2]
    assert full(4).skipped_tokens(Tokens(100)) == 0


def test_a_window_reads_the_blocks_that_it_touches() -> None:
    # bs 2, W 4: the token at 8 reads 5, 6, 7 besides itself.
    assert blocks_read(sliding(2, 4), 8) == [2, 3]
    assert sliding(2, 4).skipped_tokens(Tokens(8)) == 5
    assert sliding(2, 4).skipped_blocks(Tokens(8)) == 2


def test_a_window_of_one_token_reads_nothing_before_itself() -> None:
    assert blocks_read(sliding(4, 1), 8) == []
    assert sliding(4, 1).tail_blocks() == 0


def test_a_chunk_forgets_the_chunks_before() -> None:
    # bs 2, C 4 [CHUNK-3]: position 8 starts a chunk, position 10 has two tokens of its own before it.
    assert blocks_read(chunked(2, 4), 8) == []
    assert blocks_read(chunked(2, 4), 10) == [4]
    assert chunked(2, 4).skipped_tokens(Tokens(11)) == 8


def test_a_chunk_that_ends_inside_a_block_still_reads_that_block() -> None:
    # bs 4, C 6: tokens 6 and 7 of the chunk [6, 12) share block 1 with tokens 4 and 5 ...
    assert blocks_read(chunked(4, 6), 8) == [1]
    # ... and position 4 lies in the chunk [0, 6): block 0 is read, not forgotten.
    assert blocks_read(chunked(4, 6), 4) == [0]


def test_a_recurrent_layer_reads_its_last_state_alone() -> None:
    assert blocks_read(mamba(4), 12) == [2]
    assert blocks_read(mamba(4), 0) == []
    assert mamba(4).skipped_tokens(Tokens(9)) == 8
    assert mamba(4).skipped_tokens(Tokens(0)) == 0


def test_states_that_a_rejected_draft_may_return_to_are_not_settled() -> None:
    assert mamba(4, speculative=2).settled_tokens(Tokens(10)) == 8
    assert mamba(4, speculative=2).settled_tokens(Tokens(1)) == 0


def test_a_sink_sets_whole_blocks_aside() -> None:
    assert SinkAttention(Tokens(4), Tokens(8)).reserved_blocks() == 2


def test_cross_attention_forgets_nothing() -> None:
    assert CrossAttention(Tokens(4)).skipped_tokens(Tokens(9)) == 0
    assert blocks_read(CrossAttention(Tokens(4)), 8) == [0, 1]


def test_eagle_wants_the_block_behind_the_hit_but_of_no_recurrent_layer() -> None:
    assert list(full(4).eagle_blocks(Tokens(8))) == [2]
    assert list(sliding(4, 8).eagle_blocks(Tokens(8))) == [2]
    assert list(mamba(4).eagle_blocks(Tokens(8))) == []


@given(attentions(), PREFIXES)
def test_the_blocks_read_are_those_that_hold_a_read_token(attention: Attention, prefix: int) -> None:
    length = prefix * attention.block_size
    expected = blocks_holding(read_from(attention, length), attention.block_size)
    assert set(blocks_read(attention, length)) == expected


@given(attentions(), st.integers(0, 40))
def test_a_token_is_skipped_if_no_later_step_reads_it(attention: Attention, computed: int) -> None:
    read = read_from(attention, computed)
    oldest = min(read, default=computed)
    assert attention.skipped_tokens(Tokens(computed)) == oldest


@given(attentions(), st.integers(0, 40))
def test_a_block_is_skipped_if_all_its_tokens_are(attention: Attention, computed: int) -> None:
    skipped = set(range(attention.skipped_tokens(Tokens(computed))))
    size = attention.block_size
    whole = [i for i in range(computed) if set(range(i * size, (i + 1) * size)) <= skipped]
    assert attention.skipped_blocks(Tokens(computed)) == len(whole)


@given(attentions(), PREFIXES)
def test_a_hit_reads_exactly_what_is_not_skipped_at_its_length(attention: Attention, prefix: int) -> None:
    length = Tokens(prefix * attention.block_size)
    read = attention.blocks_read(length)
    assert read.start == attention.skipped_blocks(length) or not read
    assert read.stop == prefix


@given(attentions(), st.integers(0, 40))
def test_what_is_skipped_stays_skipped(attention: Attention, computed: int) -> None:
    now, later = attention.skipped_tokens(Tokens(computed)), attention.skipped_tokens(Tokens(computed + 1))
    assert now <= later <= computed + 1


@given(st.integers(1, 5), st.integers(1, 20))
def test_the_tail_of_a_window_is_the_most_that_any_hit_reads(size: int, window: int) -> None:
    attention = sliding(size, window)
    assert attention.tail_blocks() == max(len(blocks_read(attention, i * size)) for i in range(30))


@pytest.mark.parametrize("kind", [MambaState, AlignedMambaState])
def test_both_ways_to_manage_states_read_alike(kind: type[MambaState]) -> None:
    state = kind(Tokens(4), Blocks(1))
    assert blocks_read(state, 8) == [1]
    assert state.skipped_blocks(Tokens(9)) == 2
