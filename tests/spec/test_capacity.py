"""What a request needs and holds: shapes of tables, and a simulation of whole requests.

NEED-1, BIND-3, BIND-4, BIND-6, BIND-8, GET-1, GET-2, MAMBA-5, MAMBA-6, MAMBA-7, MAMBA-9, CROSS-1,
CROSS-2, SPEC-8, ADMIT-1, ADMIT-2, ADMIT-3, CFG-7, ALLOC-3, ALLOC-7, MGR-4, Q-4, Q-16, Q-17, Q-28,
Q-30, Q-50, Q-51.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec.attention import AlignedMambaState, Attention, CrossAttention
from spec.capacity import (
    Binding,
    Growth,
    Step,
    admission_need,
    binding,
    fits,
    growth,
    most_held,
    table_length,
)
from spec.eviction import skipped_entries
from spec.units import BlockId, Blocks, Tokens
from tests.spec.naive import attentions, chunked, full, mamba, sliding


def step(
    local: int = 0,
    new: int = 0,
    *,
    external: int = 0,
    lookahead: int = 0,
    model: int = 1000,
    encoder: int = 0,
) -> Step:
    computed = min(local + external, model)
    main = computed + new
    return Step(
        Tokens(local),
        Tokens(external),
        Tokens(main),
        Tokens(min(main + lookahead, model)),
        Tokens(encoder),
    )


def bound(attention: Attention, hits: int, own: Step) -> Binding:
    return binding(attention, Blocks(hits), own)


def grown(attention: Attention, held: int, own: Step, *, before: bool = True) -> Growth:
    return growth(attention, Blocks(held), own, grown_before=before)


def aligned(block_size: int, speculative: int = 0) -> AlignedMambaState:
    return AlignedMambaState(Tokens(block_size), Blocks(speculative))


# Binding


def test_full_attention_binds_hits_and_external_blocks() -> None:
    # EX-12: bs 4, 16 external tokens.
    assert bound(full(4), 0, step(external=16)) == Binding(Blocks(0), Blocks(4), Blocks(4))
    assert bound(full(4), 3, step(12, external=5)) == Binding(Blocks(0), Blocks(2), Blocks(5))


def test_a_window_binds_nulls_for_what_it_no_longer_reads() -> None:
    # EX-12: bs 4, W 8, 16 external tokens: 9 are skipped, so two nulls and two blocks.
    assert bound(sliding(4, 8), 0, step(external=16)) == Binding(Blocks(2), Blocks(2), Blocks(4))


def test_external_tokens_that_are_not_read_take_no_block() -> None:
    # A window of one token reads nothing of what came before.
    assert bound(sliding(4, 1), 0, step(external=16)) == Binding(Blocks(4), Blocks(0), Blocks(4))


def test_a_recurrent_layer_binds_one_state() -> None:
    # MAMBA-9
    assert bound(mamba(4), 0, step(external=8)) == Binding(Blocks(1), Blocks(1), Blocks(2))
    assert bound(mamba(4), 2, step(8)) == Binding(Blocks(1), Blocks(0), Blocks(2))


def test_cross_attention_binds_nothing() -> None:
    # CROSS-2
    assert bound(CrossAttention(Tokens(4)), 0, step(external=16)) == Binding(Blocks(0), Blocks(0), Blocks(0))


@given(attentions(), st.integers(0, 8), st.integers(0, 30))
def test_after_binding_every_computed_token_that_is_read_has_a_slot(
    attention: Attention, hits: int, external: int
) -> None:
    own = step(hits * attention.block_size, external=external)
    table = bound(attention, hits, own)
    end = table.length * attention.block_size
    assert table.nulls * attention.block_size <= attention.skipped_tokens(own.computed)
    assert end >= own.computed or attention.skipped_tokens(own.computed) == own.computed
    assert table.external >= 0


@given(attentions(), st.integers(0, 8))
def test_a_hit_alone_takes_no_block(attention: Attention, hits: int) -> None:
    own = step(hits * attention.block_size)
    table = bound(attention, hits, own)
    assert table.external == 0
    assert table.length == hits
    assert hits - table.nulls == len(attention.blocks_read(own.computed))


# Growth


@pytest.mark.parametrize(
    ("held", "slots", "taken"), [(0, 9, 3), (2, 9, 1), (3, 12, 0), (3, 13, 1), (5, 4, 0)]
)
def test_a_table_grows_to_cover_its_slots_and_never_shrinks(held: int, slots: int, taken: int) -> None:
    # GET-1, EX-8
    change = grown(full(4), held, step(0, slots))
    assert change == Growth(Blocks(0), range(0), Blocks(taken), Blocks(held + taken))


def test_slots_stop_at_the_models_length() -> None:
    # EX-13: a model of 10 tokens; 9 computed, one new, 7 of lookahead.
    assert grown(full(4), 3, step(9, 1, lookahead=7, model=10)).taken == 0


def test_states_for_drafts_come_on_top() -> None:
    # MAMBA-5, EX-17: bs 4, one speculative block, 9 tokens.
    assert table_length(mamba(4, speculative=1), step(0, 9)) == 4


def test_cross_attention_follows_the_encoder() -> None:
    # CROSS-1, CROSS-4: 10 encoder tokens at admission, none later.
    cross = CrossAttention(Tokens(4))
    assert grown(cross, 0, step(0, 9, encoder=10)).taken == 3
    assert grown(cross, 3, step(9, 4)).taken == 0


@pytest.mark.parametrize(
    ("held", "main", "before", "expected"),
    [
        (0, 4, False, (0, [], 3)),  # [] -> [a b c]: the running state and two for drafts
        (3, 12, True, (0, [1], 1)),  # [2 3 4] -> [2 0 4 3 7], as in EX-7
        (5, 13, True, (0, [], 1)),  # [2 0 4 3 7] -> [2 0 4 3 7 9]: 3 is the running state where it stands
        (6, 16, True, (0, [], 0)),
        (3, 20, True, (1, [1, 2], 1)),  # [2 3 4] -> [2 0 0 0 3 4 9]: both move, behind a null
        (2, 20, False, (2, [], 3)),  # [0 h] -> [0 h 0 0 a b c]: a bound state stays where it is
    ],
)
def test_speculative_blocks_move_behind_the_running_state(
    held: int,
    main: int,
    before: bool,
    expected: tuple[int, list[int], int],
) -> None:
    # MAMBA-7. Two speculative blocks of 4: a table of ceil(main / 4) + 2 entries.
    change = grown(aligned(4, speculative=2), held, step(0, main, lookahead=2), before=before)
    nulls, moved, taken = expected
    assert change.nulls == nulls
    assert change.taken == taken
    assert list(change.moved) == moved


def test_a_state_that_comes_from_outside_is_counted() -> None:
    # Full 4 and Mamba align 4, 8 external tokens and 4 new ones: 5 blocks, not 4.
    own = step(external=8, new=4)
    total = 0
    for attention in (full(4), aligned(4)):
        start = bound(attention, 0, own)
        total += start.external + grown(attention, start.length, own, before=False).taken
    assert total == 5


def test_a_need_is_never_negative() -> None:
    # 8 tokens computed, a table of 4 blocks, 9 tokens next: nothing is needed, and not -1.
    assert grown(aligned(4), 4, step(8, 1)).taken == 0


def test_external_tokens_beyond_the_model_are_counted_as_they_are_taken() -> None:
    # a model of 10 tokens, 16 external, one new.
    own = step(external=16, new=1, model=10)
    start = bound(full(4), 0, own)
    assert start.external + grown(full(4), start.length, own, before=False).taken == 4


@given(
    st.one_of(attentions(), st.builds(aligned, st.integers(1, 4), st.integers(0, 3))),
    st.integers(0, 12),
    st.integers(0, 40),
    st.integers(0, 5),
    st.booleans(),
)
def test_growth_adds_up(
    attention: Attention,
    held: int,
    main: int,
    lookahead: int,
    before: bool,
) -> None:
    own = step(0, main, lookahead=lookahead)
    change = grown(attention, held, own, before=before)
    assert change.length == max(held, table_length(attention, own))
    assert change.length == held + change.nulls + len(change.moved) + change.taken
    assert min(change.nulls, change.taken) >= 0
    assert set(change.moved) <= set(range(held))
    if not isinstance(attention, AlignedMambaState):
        assert change.nulls == len(change.moved) == 0


@given(st.integers(1, 4), st.integers(0, 3), st.integers(1, 40), st.integers(1, 12))
def test_an_aligned_state_grows_by_one_block_a_step(size: int, speculative: int, main: int, new: int) -> None:
    # MAMBA-7: once the running state and its drafts have blocks, each step takes at most one more.
    state = aligned(size, speculative)
    held = table_length(state, step(0, main))
    change = grown(state, held, step(main, new))
    assert change.taken <= 1
    assert len(change.moved) <= speculative


# The most that a request holds


def cap(attention: Attention, batched: int, model: int, lookahead: int = 0) -> int | None:
    return most_held(
        attention,
        batched_tokens=Tokens(batched),
        model_tokens=Tokens(model),
        lookahead=Tokens(lookahead),
    )


def test_the_cap_of_the_observed_system_where_it_is_one() -> None:
    # SPEC-8: bs 4, up to 16 tokens a step, a model of 100.
    assert cap(sliding(4, 8), 16, 100) == 7
    assert cap(chunked(4, 8), 16, 100) == 6
    assert cap(full(4), 16, 100) is None
    assert cap(mamba(4), 16, 100) is None


def test_the_cap_of_a_window_in_the_model_of_admit_2() -> None:
    # ADMIT-2: bs 16, W 64, 128 tokens a step.
    assert cap(sliding(16, 64), 128, 1024) == 13


@dataclass(frozen=True)
class Life:
    """How a request is scheduled: steps of up to `batched` tokens, with `lookahead` slots more."""

    attention: Attention
    batched: int
    model: int
    lookahead: int

    def most(self) -> int:
        """The most blocks held after any step of any schedule, rejected drafts included."""
        seen: set[tuple[int, tuple[int, ...]]] = set()
        waiting = [*self._starts()]
        most = 0
        while waiting:
            computed, table = waiting.pop()
            if (computed, table) in seen:
                continue
            seen.add((computed, table))
            most = max(most, sum(table))
            waiting.extend(self._after_a_step(computed, table))
        return most

    def _starts(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Nothing held, a prefix hit, or tokens from a connector."""
        yield 0, ()
        for hits in range(self.model // self.attention.block_size):
            local = hits * self.attention.block_size
            for external in range(self.model - local):
                table = bound(self.attention, hits, step(local, external=external))
                held = [0] * table.nulls + [1] * (table.length - table.nulls)
                yield local + external, tuple(held)

    def _after_a_step(self, computed: int, table: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
        skip = skipped_entries(self.attention, [BlockId(b) for b in table], Tokens(computed))
        held = [0 if i in skip.window else b for i, b in enumerate(table)]
        for new in range(1, min(self.batched, self.model - computed) + 1):
            own = step(computed, new, lookahead=self.lookahead, model=self.model)
            change = grown(self.attention, len(held), own)
            after = (*held, *(1 for _ in range(change.taken)))
            # One token is sampled or given for sure; the others may have been drafts.
            for accepted in range(1, new + 1):
                yield computed + accepted, after


WINDOWS: list[Attention] = [sliding(size, window) for size, window in product((1, 2, 3), (1, 2, 3, 4, 5))]
CHUNKS: list[Attention] = [chunked(size, chunk) for size, chunk in product((1, 2, 3), (1, 2, 3, 4, 6))]


@pytest.mark.parametrize("attention", [*WINDOWS, *CHUNKS], ids=repr)
def test_no_schedule_holds_more_than_the_cap(attention: Attention) -> None:
    for batched, model, lookahead in product((1, 2, 4), (5, 14), (0, 2)):
        limit = cap(attention, batched, model, lookahead)
        assert limit is not None
        assert Life(attention, batched, model, lookahead).most() <= limit, (batched, model, lookahead)


def test_the_cap_is_reached() -> None:
    # A window of 5 and a step of 2 span 6 tokens; from the last slot of a block they touch 4 blocks of 2.
    assert Life(sliding(2, 5), 2, 40, 0).most() == cap(sliding(2, 5), 2, 40) == 4
    # A chunk of 4 and a step of 3: position 7 is computed next, so the chunk [4, 8) and [8, 10).
    assert Life(chunked(2, 4), 3, 40, 0).most() == cap(chunked(2, 4), 2, 40) == 3
    assert Life(chunked(1, 4), 4, 40, 0).most() == 7


def test_lookahead_is_held_as_well() -> None:
    # bs 4, W 8, 8 tokens a step. The observed cap is 5, whatever the lookahead.
    assert cap(sliding(4, 8), 8, 240) == 5
    for lookahead, held in ((5, 6), (8, 7)):
        most = Life(sliding(4, 8), 8, 60, lookahead).most()
        limit = cap(sliding(4, 8), 8, 240, lookahead)
        assert most == held
        assert limit is not None
        assert most <= limit


def test_a_chunk_that_cuts_blocks_holds_one_more() -> None:
    # bs 4, C 6, 6 tokens a step. The observed cap is 3.
    assert Life(chunked(4, 6), 6, 60, 0).most() == 4
    assert cap(chunked(4, 6), 6, 60) == 4


# Admission


def test_what_is_skipped_already_does_not_hide_a_need() -> None:
    # bs 4, W 8, cap 5, a hit of 160 tokens out of 240: 22 blocks leave the queue, 5 at a time.
    assert admission_need(Blocks(22), Blocks(0), Blocks(5)) == 5
    assert admission_need(Blocks(22), Blocks(0), None) == 22


def test_held_blocks_count_towards_the_cap() -> None:
    assert admission_need(Blocks(20), Blocks(2), Blocks(5)) == 3
    assert admission_need(Blocks(20), Blocks(7), Blocks(5)) == 0
    assert admission_need(Blocks(1), Blocks(0), Blocks(5)) == 1


@pytest.mark.parametrize(
    ("need", "free", "reserved", "admitted"),
    [(8, 7, 0, False), (7, 7, 0, True), (1, 7, 6, True), (1, 7, 7, False), (0, 0, 0, True), (0, 0, 1, True)],
)
def test_reserved_blocks_are_left_alone_unless_nothing_is_needed(
    need: int,
    free: int,
    reserved: int,
    admitted: bool,
) -> None:
    # ALLOC-7, EX-13; Q-16 for a need of 0.
    assert fits(Blocks(need), Blocks(free), Blocks(reserved)) == admitted
