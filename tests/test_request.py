"""Requests: their tokens, their extra keys, and their incremental hashes.

REQ-1 to REQ-4, REQ-6, REQ-7, HASH-4, HASH-5, HASH-6, HASH-7, HASH-8, HASH-12, Q-10, Q-11.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import cbor2
import pytest

from kvref.hashing import BlockHasher, ExtraKeys
from kvref.request import (
    LoRARequest,
    MultiModalFeature,
    PlaceholderRange,
    PromptEmbeds,
    Request,
    extra_keys,
    multimodal_keys,
)
from spec.units import RequestId, Tokens


def item(name: str, start: int, end: int) -> MultiModalFeature:
    return MultiModalFeature(name, PlaceholderRange(start, end - start))


def request(tokens: Sequence[int] | None, block_size: int = 4, **options: Any) -> Request:
    hasher = BlockHasher.seeded("sha256_cbor", Tokens(block_size), "0")
    return Request(RequestId("r"), tokens, **{"block_hasher": hasher, **options})


def by_hand(tokens: Sequence[int], block_size: int, keys: Sequence[ExtraKeys]) -> list[bytes]:
    """The hashes of all full blocks with these extra keys."""
    parent = hashlib.sha256(cbor2.dumps("0", canonical=True)).digest()
    hashes = []
    for index, own in enumerate(keys):
        block = tuple(tokens[index * block_size : (index + 1) * block_size])
        parent = hashlib.sha256(cbor2.dumps((parent, block, own), canonical=True)).digest()
        hashes.append(parent)
    return hashes


# Tokens


def test_a_request_counts_prompt_and_output_but_computes_nothing_itself() -> None:
    # REQ-1, REQ-2
    r = request(range(5))
    r.append_output_token_ids(5)
    r.append_output_token_ids([6, 7])
    assert (r.num_tokens, r.num_prompt_tokens, r.num_computed_tokens) == (8, 5, 0)
    assert r.all_token_ids == list(range(8))


def test_blocks_are_hashed_when_they_become_full() -> None:
    # REQ-3, HASH-8
    r = request(range(7))
    assert len(r.block_hashes) == 1
    r.append_output_token_ids(7)
    assert len(r.block_hashes) == 2
    assert r.block_hashes == by_hand(range(8), 4, [None, None])


def test_output_and_prompt_hash_alike() -> None:
    # HASH-12
    r = request(range(3))
    for token in range(3, 13):
        r.append_output_token_ids(token)
    assert r.block_hashes == request(range(13)).block_hashes


def test_without_a_hasher_there_are_no_hashes() -> None:
    # REQ-3
    assert request(range(9), block_hasher=None).block_hashes == []


def test_embeddings_stand_for_tokens() -> None:
    # REQ-4
    r = request(None, prompt_embeds=PromptEmbeds(bytes(range(24)), 4))
    assert (r.all_token_ids, r.num_prompt_tokens) == ([0] * 6, 6)


def test_a_prompt_must_be_given_in_one_consistent_way() -> None:
    # REQ-4
    with pytest.raises(ValueError, match="give prompt_token_ids or prompt_embeds"):
        request(None)
    with pytest.raises(ValueError, match="5 token ids and 6 embeddings"):
        request(range(5), prompt_embeds=PromptEmbeds(bytes(24), 4))


# Extra keys


ITEMS = [item("a", 2, 5), item("b", 5, 6), item("c", 30, 34)]


@pytest.mark.parametrize(
    ("start", "end", "first", "keys", "following"),
    [
        (0, 4, 0, [("a", 2)], 0),
        (4, 8, 0, [("a", -2), ("b", 1)], 2),
        (8, 12, 2, [], 2),
        (32, 36, 2, [("c", -2)], 3),
        (36, 40, -1, [], -1),
        (4, 8, -1, [], 2),  # a and b are missed: where Q-10 comes from
    ],
)
def test_which_items_a_block_names(
    start: int, end: int, first: int, keys: list[tuple[str, int]], following: int
) -> None:
    # HASH-5: a [2, 5), b [5, 6), c [30, 34).
    assert multimodal_keys(ITEMS, start, end, first) == (keys, following)


def test_a_block_of_a_request_without_items_names_none() -> None:
    # HASH-5
    assert multimodal_keys([], 0, 4, 0) == ([], 0)


def test_extra_keys_come_in_one_order() -> None:
    # HASH-4: adapter, items, salt, embeddings. EX-16: the salt only in the first block.
    embeds = PromptEmbeds(bytes(range(24)), 4)
    r = request(
        None,
        prompt_embeds=embeds,
        lora_request=LoRARequest("L", 1),
        mm_features=[item("m", 1, 3)],
        cache_salt="S",
    )
    digest = hashlib.sha256(bytes(range(16))).digest()
    assert extra_keys(r, 0, 4, 0) == (("L", ("m", 1), "S", digest), 1)
    # A block that the embeddings cover in part hashes the rows that there are.
    partial = hashlib.sha256(bytes(range(16, 24))).digest()
    assert extra_keys(r, 4, 8, 1) == (("L", partial), 1)
    assert extra_keys(r, 8, 12, 1) == (("L", hashlib.sha256(b"").digest()), 1)


def test_nothing_extra_is_none() -> None:
    # HASH-4, HASH-6, HASH-7: an empty salt contributes nothing.
    assert extra_keys(request(range(4)), 0, 4, 0) == (None, 0)
    assert extra_keys(request(range(4), cache_salt=""), 0, 4, 0) == (None, 0)


def test_extra_keys_enter_the_hash_of_their_block() -> None:
    # HASH-1, HASH-4, EX-16
    r = request(range(8), lora_request=LoRARequest("L", 7), mm_features=[item("m", 1, 3)], cache_salt="S")
    assert r.block_hashes == by_hand(range(8), 4, [("L", ("m", 1), "S"), ("L",)])


def test_items_are_carried_on_from_block_to_block() -> None:
    # EX-16, bs 16
    items = [item("aaa", 11, 21), item("bbb", 30, 48), item("ccc", 48, 55)]
    r = request(range(64), 16, mm_features=items)
    keys: list[ExtraKeys] = [
        (("aaa", 11),),
        (("aaa", -5), ("bbb", 14)),
        (("bbb", -2),),
        (("ccc", 0),),
    ]
    assert r.block_hashes == by_hand(range(64), 16, keys)


# Findings in the format of keys, which is kept as observed


def test_q_10_a_block_that_fills_later_is_hashed_with_its_last_item_alone() -> None:
    # bs 16, 20 prompt tokens, X [16, 18) and B [18, 20), then 12 outputs.
    def late(first: str) -> Request:
        r = request(range(20), 16, mm_features=[item(first, 16, 18), item("B", 18, 20)])
        r.append_output_token_ids(range(20, 32))
        return r

    assert late("X").block_hashes == late("Y").block_hashes
    assert late("X").block_hashes == by_hand(range(32), 16, [None, (("B", 2),)])
    # The same tokens given as a prompt hash to what identity asks for.
    whole = request(range(32), 16, mm_features=[item("X", 16, 18), item("B", 18, 20)])
    assert whole.block_hashes == by_hand(range(32), 16, [None, (("X", 0), ("B", 2))])
    assert whole.block_hashes != late("X").block_hashes


def test_q_11_a_streaming_update_keeps_a_hash_of_the_token_that_it_drops() -> None:
    # bs 4: prompt 1 2 3, sampled 9, update 5 6.
    r = request([1, 2, 3])
    r.num_computed_tokens = Tokens(3)
    r.append_output_token_ids(9)
    r.continue_with([5, 6])
    assert r.all_token_ids == [1, 2, 3, 5, 6]
    assert r.block_hashes == by_hand([1, 2, 3, 9], 4, [None])
    assert r.block_hashes != by_hand([1, 2, 3, 5], 4, [None])


def test_an_adapters_name_and_an_equal_salt_are_the_same_bytes() -> None:
    # HASH-4: what spec.content tells apart.
    adapter = request(range(4), lora_request=LoRARequest("x", 1))
    assert adapter.block_hashes == request(range(4), cache_salt="x").block_hashes


# Streaming sessions


def test_a_session_goes_on_behind_what_is_computed() -> None:
    # REQ-7: output becomes prompt, and new items move behind the kept tokens.
    r = request(range(6), mm_features=[item("a", 1, 2)])
    r.append_output_token_ids([6, 7])
    r.num_computed_tokens = Tokens(7)
    r.continue_with([50, 51, 52], [item("b", 1, 3)])
    assert r.all_token_ids == [*range(7), 50, 51, 52]
    assert r.num_prompt_tokens == r.num_tokens == 10
    assert [feature.mm_position.offset for feature in r.mm_features] == [1, 8]
    assert len(r.block_hashes) == 2
