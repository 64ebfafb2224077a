"""In which order blocks are released, and so taken again.

FREE-1, FREE-2, FREE-3, FREE-5, SKIP-1, SKIP-2, SKIP-3, SKIP-4, MAMBA-2, POOL-7, Q-32, Q-52.
"""

from collections.abc import Collection, Sequence

from hypothesis import given
from hypothesis import strategies as st

from spec.attention import AlignedMambaState, Attention
from spec.eviction import (
    Release,
    Skip,
    queue_after,
    release_on_free,
    skipped_entries,
    split_by_content,
)
from spec.units import BlockId, Blocks, Tokens
from tests.spec.naive import attentions, chunked, full, mamba, sliding


def ids(*numbers: int) -> list[BlockId]:
    return [BlockId(number) for number in numbers]


def skipped(attention: Attention, table: Sequence[BlockId], computed: int) -> Skip:
    return skipped_entries(attention, table, Tokens(computed))


def freed(attention: Attention, table: Sequence[BlockId], keyed: Collection[int]) -> Release:
    return release_on_free(attention, table, lambda block: block in keyed)


def requeued(queue: Sequence[BlockId], release: Release) -> list[BlockId]:
    """The queue if nobody else holds the released blocks."""
    return queue_after(queue, release, {*release.front, *release.back})


def test_a_windows_prompt_in_three_chunks() -> None:
    # EX-3: bs 2, W 4. After 6 tokens one block is past, after 10 three, the later ones first.
    assert skipped(sliding(2, 4), ids(1, 2, 3), 6) == Skip((0,), ())
    assert skipped(sliding(2, 4), ids(0, 2, 3, 4, 5), 10) == Skip((2, 1), ())
    # Cached blocks go to the back: 3 then 2, behind 1.
    release = split_by_content(ids(3, 2), lambda _: True)
    assert requeued(ids(8, 9, 10, 11, 1), release) == ids(8, 9, 10, 11, 1, 3, 2)
    # Freeing: the scratch block 7 to the front, the cached ones to the back, tail first.
    release = freed(sliding(2, 4), ids(0, 0, 0, 4, 5, 6, 7), {4, 5, 6})
    assert requeued(ids(8, 9, 10, 11, 1, 3, 2), release) == ids(7, 8, 9, 10, 11, 1, 3, 2, 6, 5, 4)


def test_a_window_without_caching_reuses_its_own_blocks_first() -> None:
    # EX-3: bs 4, W 8, 16 tokens computed: 9 are past, so blocks 1 and 2, and the later one first.
    assert skipped(sliding(4, 8), ids(1, 2, 3, 4), 16) == Skip((1, 0), ())
    release = split_by_content(ids(2, 1), lambda _: False)
    assert requeued(ids(5, 6, 7), release) == ids(2, 1, 5, 6, 7)


def test_freeing_full_attention_and_a_window_group_after_group() -> None:
    # EX-4, FREE-3: 21 tokens in full 8 (scratch: 3) and sliding 2 (kept: 6, 7, 10, 11).
    queue = list(map(BlockId, range(15, 40)))
    queue = requeued(queue, freed(full(8), ids(1, 2, 3), {1, 2}))
    queue = requeued(queue, freed(sliding(2, 4), ids(*range(4, 15)), {6, 7, 10, 11}))
    expected = (14, 13, 12, 9, 8, 5, 4, *range(15, 40), 3, 2, 1, 11, 10, 7, 6)
    assert queue == ids(*expected)


def test_only_a_window_puts_scratch_blocks_to_the_front_when_freed() -> None:
    # EX-6, Q-32, CHUNK-4: chunked, C 4, blocks of 2: scratch 14 goes to the back with the others.
    release = freed(chunked(2, 4), ids(0, 0, 0, 0, 11, 12, 14), {11})
    assert release == Release((), tuple(ids(14, 12, 11)))
    assert skipped(chunked(2, 4), ids(7, 8, 9, 10, 11, 12), 11) == Skip((3, 2, 1, 0), ())


def test_a_block_that_others_hold_is_not_queued() -> None:
    # EX-1, FREE-5: 1, 2, 3 are shared, 4 is not.
    release = freed(full(4), ids(1, 2, 3, 4), {1, 2, 3})
    assert queue_after(ids(6, 7), release, {BlockId(4)}) == ids(6, 7, 4)


def test_a_recurrent_layer_releases_all_but_its_last_settled_state() -> None:
    # EX-17: bs 4, one speculative block; 9 tokens computed, of which 8 are settled.
    assert skipped(mamba(4, speculative=1), ids(1, 2, 3, 4), 9) == Skip((0,), ())


def test_a_state_behind_nulls_is_released_on_its_own_and_to_the_back() -> None:
    # EX-7, MAMBA-2: two blocks for drafts; the state in entry 2 stands apart once 16 tokens are computed.
    aligned = AlignedMambaState(Tokens(4), Blocks(2))
    assert skipped(aligned, ids(2, 0, 4, 3, 7), 12) == Skip((), (0,))
    assert skipped(aligned, ids(0, 0, 4, 3, 7, 9), 15) == Skip((2,), ())


def test_all_states_that_stand_apart_are_released() -> None:
    # Observed: only the last one is, and the others are held to the end.
    aligned = AlignedMambaState(Tokens(4), Blocks(0))
    assert skipped(aligned, ids(2, 0, 4, 0, 0, 7), 24) == Skip((), (2, 0))


def test_nothing_is_past_before_anything_is_computed() -> None:
    for attention in (full(2), sliding(2, 1), chunked(2, 2), mamba(2)):
        assert skipped(attention, ids(1, 2, 3), 0) == Skip((), ())


TABLES = st.integers(0, 4).flatmap(
    lambda nulls: st.integers(0, 10).map(lambda n: ids(*[0] * nulls, *range(1, n + 1)))
)


@given(attentions(), TABLES, st.integers(0, 40))
def test_what_is_skipped_lies_before_everything_that_is_still_read(
    attention: Attention, table: list[BlockId], computed: int
) -> None:
    skip = skipped(attention, table, computed)
    assert all(table[index] != 0 for index in (*skip.window, *skip.states))
    for index in skip.window:
        assert (index + 1) * attention.block_size <= attention.skipped_tokens(Tokens(computed))
    assert list(skip.window) == sorted(skip.window, reverse=True)


@given(attentions(), TABLES, st.integers(0, 40))
def test_skipping_twice_is_skipping_once(attention: Attention, table: list[BlockId], computed: int) -> None:
    skip = skipped(attention, table, computed)
    rest = [BlockId(0) if i in (*skip.window, *skip.states) else b for i, b in enumerate(table)]
    assert skipped(attention, rest, computed) == Skip((), ())


@given(attentions(), TABLES, st.frozensets(st.integers(1, 10)))
def test_freeing_releases_every_held_block_once(
    attention: Attention, table: list[BlockId], keyed: frozenset[int]
) -> None:
    release = freed(attention, table, keyed)
    assert sorted([*release.front, *release.back]) == sorted(block for block in table if block != 0)
    assert all(block not in keyed for block in release.front)


@given(attentions(), TABLES, st.frozensets(st.integers(1, 10)))
def test_a_chain_loses_its_tail_before_its_root(
    attention: Attention, table: list[BlockId], keyed: frozenset[int]
) -> None:
    release = freed(attention, table, keyed)
    for side in (release.front, release.back):
        positions = [table.index(block) for block in side]
        assert positions == sorted(positions, reverse=True)
