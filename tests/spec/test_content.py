"""When two blocks are the same block, and how groups and coarse blocks name them.

HASH-1, HASH-4, HASH-5, HASH-8, HASH-9, HASH-10, HASH-11, Q-10, Q-11, Q-14.
"""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spec.content import (
    Content,
    Extras,
    Span,
    chain,
    coarse_hash,
    event_hash,
    extras_of,
    group_key,
    group_of,
    hash_of,
)
from spec.units import BlockHash, GroupId, Tokens

PLAIN = Extras()


def span(identifier: str, start: int, end: int) -> Span:
    return Span(identifier, Tokens(start), Tokens(end - start))


def extras(
    start: int, end: int, spans: Sequence[Span] = (), adapter: str | None = None, salt: str | None = None
) -> Extras:
    return extras_of(Tokens(start), Tokens(end), spans, adapter=adapter, salt=salt)


def plain_chain(tokens: Sequence[int], size: int = 4) -> list[Content]:
    return chain(tokens, Tokens(size), [PLAIN] * (len(tokens) // size))


def test_only_full_blocks_have_content() -> None:
    first, second = plain_chain(range(11))
    assert first == Content(None, (0, 1, 2, 3), PLAIN)
    assert second == Content(first, (4, 5, 6, 7), PLAIN)


def test_equal_tokens_behind_different_tokens_are_different_content() -> None:
    mine, yours = plain_chain([1, 2, 3, 4, 9, 9, 9, 9]), plain_chain([5, 6, 7, 8, 9, 9, 9, 9])
    assert mine[1].tokens == yours[1].tokens
    assert mine[1] != yours[1]


def test_a_chain_that_a_sampled_token_left_is_another_chain() -> None:
    # the observed hash still names 1 2 3 9.
    assert plain_chain([1, 2, 3, 5, 6]) != plain_chain([1, 2, 3, 9])


def test_items_are_known_by_where_they_start_relative_to_the_block() -> None:
    # EX-16, bs 16: aaa [11, 21), bbb [30, 48), ccc [48, 55).
    items = [span("aaa", 11, 21), span("bbb", 30, 48), span("ccc", 48, 55)]
    spans = [extras(start, start + 16, items).spans for start in (0, 16, 32, 48)]
    assert spans == [(("aaa", 11),), (("aaa", -5), ("bbb", 14)), (("bbb", -2),), (("ccc", 0),)]


def test_the_salt_counts_once_and_the_adapter_in_every_block() -> None:
    # EX-16, bs 4.
    assert extras(0, 4, adapter="L", salt="S") == Extras("L", "S")
    assert extras(4, 8, adapter="L", salt="S") == Extras("L", None)
    assert extras(0, 4, salt="") == PLAIN


def test_an_adapters_name_is_no_salt() -> None:
    # HASH-4 conflates the two in its bytes; content does not.
    assert extras(0, 4, adapter="x") != extras(0, 4, salt="x")


def test_every_item_of_a_block_counts() -> None:
    # block 1 of X [16, 18), B [18, 20); the observed hash leaves X out if the block fills late.
    assert extras(16, 32, [span("X", 16, 18), span("B", 18, 20)]).spans == (("X", 0), ("B", 2))


def test_embeddings_are_part_of_the_content() -> None:
    assert replace(PLAIN, embeddings=b"1") != replace(PLAIN, embeddings=b"2")


TOKENS = st.lists(st.integers(0, 2), max_size=12)


@given(TOKENS, TOKENS, st.integers(1, 4))
def test_two_blocks_are_the_same_if_all_tokens_up_to_their_ends_are(
    mine: list[int], yours: list[int], size: int
) -> None:
    for index, (one, other) in enumerate(
        zip(plain_chain(mine, size), plain_chain(yours, size), strict=False)
    ):
        end = (index + 1) * size
        assert (one == other) == (mine[:end] == yours[:end])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=4), st.integers(0, 8))
def test_an_item_counts_if_one_of_its_tokens_lies_in_the_block(
    ranges: list[tuple[int, int]], index: int
) -> None:
    items = [span(str(i), start, start + length) for i, (start, length) in enumerate(ranges)]
    block = set(range(4 * index, 4 * index + 4))
    expected = [str(i) for i, (s, n) in enumerate(ranges) if block & set(range(s, s + n))]
    assert [name for name, _ in extras(4 * index, 4 * index + 4, items).spans] == expected


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_a_key_is_a_hash_and_a_group(block_hash: bytes, group: int) -> None:
    key = group_key(BlockHash(block_hash), GroupId(group))
    assert hash_of(key) == block_hash
    assert group_of(key) == group
    assert len(key) == len(block_hash) + 4


def test_a_groups_number_is_the_keys_last_four_bytes() -> None:
    # HASH-9
    assert group_key(BlockHash(b"hash"), GroupId(258)) == b"hash\x00\x00\x01\x02"


def test_a_coarse_block_joins_the_hashes_of_its_fine_blocks() -> None:
    # HASH-10, Q-45: five fine hashes, two a block: there is no third entry.
    fine = [BlockHash(bytes([i] * 2)) for i in range(5)]
    assert [coarse_hash(fine, i, 2) for i in range(2)] == [b"\x00\x00\x01\x01", b"\x02\x02\x03\x03"]


def test_events_name_a_hash_by_its_last_eight_bytes() -> None:
    # HASH-11, Q-14: a coarse block's number is that of its last fine block.
    fine = [BlockHash(bytes(range(16))), BlockHash(bytes(range(16, 32)))]
    assert event_hash(fine[0]) == int.from_bytes(bytes(range(8, 16)), "big")
    assert event_hash(coarse_hash(fine, 0, 2)) == event_hash(fine[1])
