"""What a step reads, and where it leaves its states [PROTO-18, PROTO-20]."""

from hypothesis import given
from hypothesis import strategies as st

from spec.attention import AlignedMambaState, Attention, MambaState, SlidingWindowAttention
from spec.execution import positions_read, state_entry
from spec.units import Blocks, Tokens
from tests.spec.naive import attentions, read_from


@given(attentions(), st.integers(0, 30), st.integers(1, 12))
def test_a_step_reads_what_its_tokens_span_and_nothing_else(
    attention: Attention, start: int, count: int
) -> None:
    end = start + count
    wanted = {at for token in range(start, end) for at in read_from(attention, token)} | set(
        range(start, end)
    )
    assert set(positions_read(attention, Tokens(start), Tokens(end))) == wanted


def test_the_example_of_the_window() -> None:
    window = SlidingWindowAttention(Tokens(4), Tokens(4))
    assert positions_read(window, Tokens(8), Tokens(10)) == range(5, 10)


def test_the_example_of_the_drafts() -> None:
    aligned = AlignedMambaState(Tokens(4), Blocks(2))
    entries = [state_entry(aligned, Tokens(8), Tokens(10), Blocks(drafted)) for drafted in range(3)]
    assert entries == [2, 3, 4]


def test_a_table_that_is_not_aligned_counts_drafts_from_the_known_tokens() -> None:
    state = MambaState(Tokens(4), Blocks(2))
    entries = [state_entry(state, Tokens(8), Tokens(10), Blocks(drafted)) for drafted in range(3)]
    assert entries == [1, 2, 3]
