"""The longest hit against brute force over all lengths, and the observed examples.

HIT-4, HIT-6, HIT-7, HIT-8, HIT-10, COORD-5, EAGLE-1, EAGLE-2, EAGLE-4, SWA-2 to SWA-6, CHUNK-3,
Q-1, Q-2, Q-5, Q-7, Q-8, Q-9, Q-24, Q-25, Q-34, Q-35, Q-37, INV-9.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import product
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec.attention import Attention, MambaState
from spec.hits import SpecGroup, candidate_lengths, longest_hit, longest_usable, serves
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


def group(attention: Attention, cached: Collection[int], *, eagle: bool = False) -> SpecGroup:
    return SpecGroup(attention, eagle, lambda index: index in cached)


def hit(num_tokens: int, alignment: int, *groups: SpecGroup) -> int:
    return longest_hit(groups, Tokens(num_tokens), Tokens(alignment))


def flagged(flags: str) -> list[int]:
    """The indexes that hold a T."""
    return [index for index, flag in enumerate(flags) if flag == "T"]


# What is observed


@pytest.mark.parametrize(("tokens", "length"), [(13, 12), (12, 8), (9, 8), (8, 4), (5, 4), (4, 0), (1, 0)])
def test_one_token_is_always_left_to_compute(tokens: int, length: int) -> None:
    # HIT-10, Q-25: a prompt of exactly k blocks hits k - 1 of them.
    assert hit(tokens, 4, group(full(4), [0, 1, 2])) == length


def test_an_empty_request_hits_nothing() -> None:
    #
    assert longest_usable(Tokens(0)) == 0
    assert hit(0, 4, group(full(4), [0]), group(sliding(4, 8), [0])) == 0


@pytest.mark.parametrize(
    ("flags", "blocks"),
    [
        ("T", 1),
        ("TF", 1),
        ("TTF", 2),
        ("TTFTFFTTFTTT", 12),
        ("TTFTFFTTFFFF", 8),
        ("TTFTFFTTFFFFT", 8),
    ],
)
def test_a_window_of_two_blocks_needs_two_in_a_row_or_the_start(flags: str, blocks: int) -> None:
    # SWA-6, bs 2, W 4.
    assert hit(2 * len(flags) + 1, 2, group(sliding(2, 4), flagged(flags))) == 2 * blocks


def test_a_window_over_a_hole() -> None:
    # SWA-6, bs 4, W 9, a hole at index 3 of six cached blocks.
    window = group(sliding(4, 9), [0, 1, 2, 4, 5])
    assert hit(25, 4, window) == 24
    assert hit(24, 4, window) == 12


@pytest.mark.parametrize(("tokens", "blocks"), [(17, 3), (16, 2), (9, 1), (8, 0), (5, 0)])
def test_eagle_recomputes_the_last_matched_block(tokens: int, blocks: int) -> None:
    # EAGLE-1, bs 4, 17 tokens cached.
    assert hit(tokens, 4, group(full(4), range(4), eagle=True)) == 4 * blocks


@pytest.mark.parametrize(("tokens", "length"), [(21, 16), (19, 16), (17, 8), (11, 8), (10, 0)])
def test_eagle_needs_the_block_behind_the_hit_within_the_usable_prefix(tokens: int, length: int) -> None:
    # EAGLE-4: full 8, and an EAGLE window of 2 over blocks of 2 that keeps 3, 4, 7, 8.
    groups = (group(full(8), range(2)), group(sliding(2, 2), [3, 4, 7, 8], eagle=True))
    assert hit(tokens, 8, *groups) == length


@pytest.mark.parametrize(("tokens", "length"), [(33, 24), (35, 24), (41, 32), (32, 16)])
def test_eagle_and_alignment_cost_a_whole_unit(tokens: int, length: int) -> None:
    # full 2 and sliding 8 W 16, all EAGLE, 41 tokens cached.
    groups = (
        group(full(2), range(min(tokens, 41) // 2), eagle=True),
        group(sliding(8, 16), range(5), eagle=True),
    )
    assert hit(tokens, 8, *groups) == length


@pytest.mark.parametrize(("tokens", "length"), [(12, 10), (11, 10), (9, 8), (8, 6), (6, 4), (5, 4)])
def test_full_and_chunked_groups_together(tokens: int, length: int) -> None:
    # EX-6: after 13 tokens with C 4, blocks 0 to 4 of both groups are cached.
    assert hit(tokens, 2, group(full(2), range(5)), group(chunked(2, 4), range(5))) == length


def test_whole_chunks_are_a_hit_of_an_empty_cache() -> None:
    # CHUNK-3, Q-8
    assert hit(9, 2, group(chunked(2, 4), [])) == 8


# What the definition says where the observed system is wrong


def test_a_recurrent_group_with_the_eagle_bit_never_lengthens_the_hit() -> None:
    # 71 tokens cached in blocks of 16; the block behind 48 is the last that full attention has.
    cached = range(4)
    groups = (group(full(16), cached, eagle=True), group(mamba(16), cached, eagle=True))
    assert hit(71, 16, *groups) == 48


def test_a_hit_is_what_every_group_holds() -> None:
    # two full groups and a window that has lost its blocks 5 to 9.
    window = group(sliding(4, 8), [0, 1, 2, 3, 4])
    assert hit(41, 4, group(full(4), range(10)), group(full(4), range(10)), window) == 20


@pytest.mark.parametrize("window", [8, 16, 24, 64])
def test_a_prefix_shorter_than_the_window_loses_no_unit_to_eagle(window: int) -> None:
    # full 32 and an EAGLE window over blocks of 8, 41 tokens cached.
    groups = (group(full(32), [0]), group(sliding(8, window), range(5), eagle=True))
    assert hit(41, 32, *groups) == 32


def test_a_chunk_that_cuts_a_block_still_needs_the_tokens_before() -> None:
    # bs 4, C 6: tokens 4 and 5 need tokens 0 to 3, which nobody has.
    assert hit(8, 4, group(chunked(4, 6), [])) == 0
    assert hit(8, 4, group(chunked(4, 6), [0])) == 4


def test_a_window_of_one_token_hits_whatever_is_cached() -> None:
    # it reads nothing before itself.
    assert hit(17, 4, group(sliding(4, 1), [])) == 16


def test_eagles_block_must_follow_the_length_that_is_returned() -> None:
    # the observed hit is 8, although block 2 of the first group is not cached.
    first = group(sliding(4, 5), [1, 5, 6], eagle=True)
    second = group(sliding(4, 9), [0, 1, 2], eagle=True)
    assert not serves(first, Tokens(8), Tokens(31))
    assert hit(32, 4, first, second) == 0


def test_without_groups_nothing_is_hit() -> None:
    #
    assert hit(100, 4) == 0


# Brute force


@dataclass(frozen=True)
class Case:
    attentions: tuple[Attention, ...]
    eagle: tuple[bool, ...]
    cached: tuple[frozenset[int], ...]
    num_tokens: int
    alignment: int

    def groups(self, extra: Iterable[int] = ()) -> list[SpecGroup]:
        return [
            group(attention, cached | set(extra), eagle=eagle)
            for attention, eagle, cached in zip(self.attentions, self.eagle, self.cached, strict=True)
        ]

    def is_served(self, length: int) -> bool:
        """Token by token: every read position lies in a cached block, and so does EAGLE's block."""
        for attention, eagle, cached in zip(self.attentions, self.eagle, self.cached, strict=True):
            needed = blocks_holding(read_from(attention, length), attention.block_size)
            if eagle and not isinstance(attention, MambaState):
                if length + attention.block_size > self.num_tokens - 1:
                    return False
                needed.add(length // attention.block_size)
            if not needed <= cached:
                return False
        return True

    def longest(self) -> int:
        lengths = range(0, self.num_tokens, self.alignment)
        return max((length for length in lengths if length == 0 or self.is_served(length)), default=0)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kinds = tuple(draw(st.lists(attentions((1, 2, 4)), min_size=1, max_size=3)))
    blocks = st.frozensets(st.integers(0, 11))
    dense = st.integers(0, 12).map(lambda n: frozenset(range(n)))
    return Case(
        kinds,
        tuple(draw(st.booleans()) for _ in kinds),
        tuple(draw(st.one_of(blocks, dense)) for _ in kinds),
        draw(st.integers(0, 30)),
        lcm(*(kind.block_size for kind in kinds)) * draw(st.sampled_from((1, 1, 2))),
    )


@given(cases())
def test_the_longest_hit_is_the_longest_length_that_all_groups_serve(case: Case) -> None:
    assert hit(case.num_tokens, case.alignment, *case.groups()) == case.longest()


@given(cases())
def test_a_hit_is_aligned_and_leaves_a_token(case: Case) -> None:
    length = hit(case.num_tokens, case.alignment, *case.groups())
    assert length % case.alignment == 0
    assert length == 0 or length <= case.num_tokens - 1


@given(cases(), st.frozensets(st.integers(0, 11)))
def test_more_in_the_cache_never_shortens_a_hit(case: Case, extra: frozenset[int]) -> None:
    before = hit(case.num_tokens, case.alignment, *case.groups())
    assert before <= hit(case.num_tokens, case.alignment, *case.groups(extra))


@given(cases())
def test_one_more_token_never_shortens_a_hit(case: Case) -> None:
    before = hit(case.num_tokens, case.alignment, *case.groups())
    assert before <= hit(case.num_tokens + 1, case.alignment, *case.groups())


@given(cases())
def test_one_more_group_never_lengthens_a_hit(case: Case) -> None:
    groups = case.groups()
    for fewer in (groups[:-1], groups[1:]):
        if fewer:
            assert hit(case.num_tokens, case.alignment, *groups) <= hit(
                case.num_tokens, case.alignment, *fewer
            )


@given(cases())
def test_eagle_never_lengthens_a_hit(case: Case) -> None:
    plain = [SpecGroup(g.attention, eagle=False, is_cached=g.is_cached) for g in case.groups()]
    assert hit(case.num_tokens, case.alignment, *case.groups()) <= hit(
        case.num_tokens, case.alignment, *plain
    )


@pytest.mark.parametrize(("window", "size"), list(product(range(1, 8), (1, 2, 3))))
def test_every_cache_of_a_window_over_six_blocks(window: int, size: int) -> None:
    for bits in range(2**6):
        cached = frozenset(index for index in range(6) if bits >> index & 1)
        case = Case((sliding(size, window),), (False,), (cached,), 6 * size + 1, size)
        assert hit(case.num_tokens, size, *case.groups()) == case.longest()


@given(st.integers(0, 60), st.integers(1, 9))
def test_all_aligned_lengths_are_tried_from_the_top_down_to_zero(tokens: int, alignment: int) -> None:
    lengths = list(candidate_lengths(Tokens(tokens), Tokens(alignment)))
    assert lengths == sorted((m for m in range(max(1, tokens)) if m % alignment == 0), reverse=True)


def test_the_last_needed_block_is_looked_at_first() -> None:
    looked_at: list[int] = []

    def never(index: Blocks) -> bool:
        looked_at.append(index)
        return False

    longest_hit([SpecGroup(full(4), eagle=False, is_cached=never)], Tokens(17), Tokens(4))
    assert looked_at == [3, 2, 1, 0]
