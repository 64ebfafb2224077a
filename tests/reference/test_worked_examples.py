"""The worked examples EX-1 to EX-17: every figure was printed by a run of vLLM 0.23.0.

They show, together: CACHE-1, CACHE-4, MAP-1, MAP-2, MAP-3, POOL-1, POOL-3, POOL-4, POOL-6, POOL-7, QUEUE-1,
QUEUE-2, QUEUE-3, QUEUE-5, FREE-1, FREE-2, FREE-3, FREE-5, FULL-1, FULL-2, HIT-1, HIT-2, HIT-3, HIT-4,
HIT-5, HIT-6, HIT-8, HIT-9, ALLOC-2, SWA-2, SWA-3, SWA-4, SWA-5, SKIP-1, SKIP-2, SKIP-3, MAMBA-1 to MAMBA-9, ALLOC-4
to ALLOC-14, BIND-1 to BIND-8, GET-1 to GET-3, NEED-1 to NEED-3, COORD-1, COORD-4, COORD-5, EAGLE-1, EAGLE-4,
ADMIT-1, Q-21, Q-22, Q-25, Q-26, Q-32, PROTO-2, PROTO-3, PROTO-4, PROTO-5, PROTO-6, PROTO-7.
"""

import pytest

from kvref.request import LoRARequest, MultiModalFeature, PlaceholderRange
from spec.units import Tokens
from tests.reference.driving import Caller, chunked, fresh, full, mamba, sliding


def test_ex_1_requests_share_a_prefix_and_release_their_tails_first() -> None:
    caller = Caller(full(4), blocks=11)
    tokens = fresh(14)
    a, b = caller.request("a", tokens), caller.request("b", tokens[:12] + fresh(1))
    assert caller.admit(a) == (([],), 0, ([1, 2, 3, 4],))
    assert caller.queue == [5, 6, 7, 8, 9, 10]
    assert caller.admit(b) == (([1, 2, 3],), 12, ([5],))
    assert caller.users(1, 2, 3) == [2, 2, 2]
    assert caller.queue == [6, 7, 8, 9, 10]
    caller.free(a)
    assert caller.queue == [6, 7, 8, 9, 10, 4]
    caller.free(b)
    assert caller.queue == [6, 7, 8, 9, 10, 4, 5, 3, 2, 1]
    c = caller.request("c", 40)
    assert caller.admit(c) == (([],), 0, ([6, 7, 8, 9, 10, 4, 5, 3, 2, 1],))
    assert caller.queue == []


def test_ex_2_a_prompt_of_whole_blocks_recomputes_one_and_stores_it_twice() -> None:
    caller = Caller(full(4), blocks=11)
    tokens = fresh(13)
    first = caller.request("a", tokens[:12])
    assert caller.admit(first)[2] == ([1, 2, 3],)
    caller.free(first)
    again = caller.request("a2", tokens[:12])
    assert caller.admit(again) == (([1, 2],), 8, ([4],))
    assert caller.queue == [5, 6, 7, 8, 9, 10, 3]
    # Block 4 has the key of block 3; the older one answers.
    assert caller.cached(again) == {0: 1, 1: 2, 2: 3}
    assert caller.manager.pool.blocks[4].block_hash == caller.manager.pool.blocks[3].block_hash
    caller.free(again)
    assert caller.queue == [5, 6, 7, 8, 9, 10, 3, 4, 2, 1]
    assert len(caller.manager.pool.prefix_map) == 3
    assert caller.lookup(caller.request("b", tokens)) == (([1, 2, 3],), 12)


def test_ex_3_a_window_forgets_blocks_chunk_by_chunk() -> None:
    caller = Caller(sliding(2, 4), blocks=12)
    tokens = fresh(13)
    a = caller.request("a", tokens)
    assert caller.admit(a, 6)[2] == ([1, 2, 3],)
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3}
    assert caller.step(a, 4) == ([4, 5],)
    assert caller.table(a) == [0, 2, 3, 4, 5]
    assert caller.queue == [6, 7, 8, 9, 10, 11, 1]
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}
    assert caller.step(a, 3) == ([6, 7],)
    assert caller.table(a) == [0, 0, 0, 4, 5, 6, 7]
    assert caller.queue == [8, 9, 10, 11, 1, 3, 2]
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}
    caller.free(a)
    assert caller.queue == [7, 8, 9, 10, 11, 1, 3, 2, 6, 5, 4]
    b = caller.request("b", tokens[:9] + fresh(3))
    assert caller.admit(b) == (([0, 0, 3, 4],), 8, ([7, 8],))
    assert caller.table(b) == [0, 0, 3, 4, 7, 8]
    assert caller.queue == [9, 10, 11, 1, 2, 6, 5]


def test_ex_3_without_caching_a_window_reuses_its_own_blocks() -> None:
    caller = Caller(sliding(4, 8), blocks=12, caching=False)
    a = caller.request("a", 32)
    assert caller.admit(a, 16)[2] == ([1, 2, 3, 4],)
    assert caller.step(a, 16) == ([2, 1, 5, 6],)
    assert caller.table(a) == [0, 0, 3, 4, 2, 1, 5, 6]
    caller.free(a)
    assert caller.queue[:8] == [6, 5, 1, 2, 4, 3, 7, 8]


def test_ex_4_full_attention_and_a_finer_window() -> None:
    caller = Caller(full(8), sliding(2, 4), blocks=40)
    tokens = fresh(21)
    a = caller.request("a", tokens)
    assert caller.admit(a)[2] == ([1, 2, 3], list(range(4, 15)))
    assert caller.cached(a, 0) == {0: 1, 1: 2}
    assert caller.cached(a, 1) == {2: 6, 3: 7, 6: 10, 7: 11}
    caller.free(a)
    assert caller.queue == [14, 13, 12, 9, 8, 5, 4, *range(15, 40), 3, 2, 1, 11, 10, 7, 6]
    b = caller.request("b", tokens[:20])
    assert caller.admit(b) == (([1, 2], [0, 0, 0, 0, 0, 0, 10, 11]), 16, ([14], [13, 12]))


@pytest.mark.parametrize(("tokens", "hit"), [(17, [1, 2, 3]), (16, [1, 2]), (9, [1]), (8, []), (5, [])])
def test_ex_5_eagle_drops_the_last_matched_block(tokens: int, hit: list[int]) -> None:
    caller = Caller(full(4), blocks=11, eagle=True)
    prompt = fresh(17)
    caller.admit(caller.request("a", prompt))
    assert caller.lookup(caller.request("b", prompt[:tokens])) == ((hit,), 4 * len(hit))


def test_ex_5_an_eagle_window_beside_full_attention() -> None:
    caller = Caller(full(8), sliding(2, 2), blocks=40, eagle_groups=[1])
    tokens = fresh(21)
    a = caller.request("a", tokens)
    caller.admit(a)
    assert set(caller.cached(a, 1)) == {3, 4, 7, 8}
    assert caller.lookup(caller.request("b", tokens)) == (([1, 2], [0, 0, 0, 0, 0, 0, 0, 11]), 16)
    lengths = {n: caller.lookup(caller.request(str(n), tokens[:n]))[1] for n in (21, 19, 17, 11, 10)}
    assert lengths == {21: 16, 19: 16, 17: 8, 11: 8, 10: 0}


def test_ex_6_full_and_chunked_attention() -> None:
    caller = Caller(full(2), chunked(2, 4), blocks=20)
    tokens = fresh(13)
    a = caller.request("a", tokens[:11])
    assert caller.admit(a)[2] == ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12])
    a.append_output_token_ids(tokens[11:])
    assert caller.step(a, 2) == ([13], [14])
    assert caller.table(a, 1) == [0, 0, 0, 0, 11, 12, 14]
    assert caller.queue == [15, 16, 17, 18, 19, 10, 9, 8, 7]
    caller.free(a)
    assert caller.queue == [15, 16, 17, 18, 19, 10, 9, 8, 7, 13, 6, 5, 4, 3, 2, 1, 14, 12, 11]
    hits = {n: caller.lookup(caller.request(str(n), tokens[:n])) for n in (12, 11, 9, 8, 6, 5)}
    assert hits[12] == hits[11] == (([1, 2, 3, 4, 5], [0, 0, 0, 0, 11]), 10)
    assert hits[9] == (([1, 2, 3, 4], [0, 0, 0, 0]), 8)
    assert hits[8] == (([1, 2, 3], [0, 0, 9]), 6)
    assert hits[6] == hits[5] == (([1, 2], [0, 0]), 4)


def test_ex_7_a_running_state_moves_on_and_its_drafts_move_behind_it() -> None:
    caller = Caller(full(4), mamba(4, 2, "align"), blocks=40)
    a = caller.request("a", 13)
    assert caller.admit(a, 4)[2] == ([1], [2, 3, 4])
    assert caller.cached(a, 1) == {0: 2}
    assert caller.step(a, 8) == ([5, 6], [3, 7])
    assert caller.table(a, 1) == [2, 0, 4, 3, 7]
    assert caller.cached(a, 1) == {0: 2, 2: 4}
    assert caller.step(a, 1) == ([8], [9])
    assert caller.table(a, 1) == [0, 0, 4, 3, 7, 9]
    tables: list[list[int]] = []
    appended: list[tuple[list[int], list[int]]] = [
        ([], []),
        ([10], []),
        ([], []),
        ([], [11]),
        ([], []),
        ([12], []),
    ]
    for new in appended:
        a.append_output_token_ids(fresh(1))
        assert caller.step(a, 1, lookahead=2) == new
        tables.append(caller.table(a, 1))
    assert tables == [
        [0, 0, 4, 3, 7, 9],
        [0, 0, 4, 3, 7, 9],
        [0, 0, 0, 3, 7, 9],
        [0, 0, 0, 3, 7, 9, 11],
        [0, 0, 0, 3, 7, 9, 11],
        [0, 0, 0, 3, 7, 9, 11],
    ]
    assert caller.cached(a, 1)[3] == 3
    caller.free(a)
    assert caller.queue == [*range(13, 40), 2, 4, 12, 10, 8, 6, 5, 1, 11, 9, 7, 3]


def test_ex_7_a_hit_of_a_state_in_align_mode() -> None:
    caller = Caller(full(4), mamba(4, 1, "align"), blocks=40)
    tokens = fresh(14)
    a = caller.request("a", tokens)
    caller.admit(a, 4)
    caller.step(a, 8)
    caller.step(a, 2)
    assert caller.table(a, 1) == [0, 0, 3, 6, 8]
    caller.manager.new_step_starts()
    b = caller.request("b", tokens[:13] + fresh(3))
    assert caller.admit(b) == (([1, 4, 5], [0, 0, 3]), 12, ([9], [10, 11]))
    assert caller.table(b, 1) == [0, 0, 3, 10, 11]


def test_ex_8_drafts_get_slots_but_are_never_cached() -> None:
    caller = Caller(full(4), blocks=10)
    a = caller.request("a", 7)
    assert caller.admit(a, num_lookahead_tokens=2)[2] == ([1, 2, 3],)
    assert caller.cached(a) == {0: 1}
    a.append_output_token_ids(fresh(1))
    assert caller.step(a, 3, lookahead=2) == ([],)
    assert caller.cached(a) == {0: 1, 1: 2}
    # Both drafts are rejected, and one token is sampled.
    a.num_computed_tokens = Tokens(a.num_computed_tokens - 2)
    a.append_output_token_ids(fresh(1))
    assert caller.step(a, 3, lookahead=2) == ([4],)


def test_ex_9_a_refusal_keeps_what_was_forgotten_before() -> None:
    caller = Caller(sliding(2, 4), blocks=9)
    a = caller.request("a", 30)
    assert caller.admit(a, 12)[2] == ([1, 2, 3, 4, 5, 6],)
    assert caller.queue == [7, 8]
    assert caller.step(a, 18) is None
    assert caller.table(a) == [0, 0, 0, 0, 5, 6]
    assert caller.queue == [7, 8, 4, 3, 2, 1]
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}


def test_ex_10_a_preempted_request_comes_back_to_what_is_left() -> None:
    caller = Caller(full(4), blocks=8)
    r, s = caller.request("r", 9), caller.request("s", 12)
    assert caller.admit(r)[2] == ([1, 2, 3],)
    r.append_output_token_ids(fresh(3))
    assert caller.step(r, 3) == ([],)
    assert caller.admit(s)[2] == ([4, 5, 6],)
    assert caller.queue == [7]
    r.append_output_token_ids(fresh(1))
    assert caller.step(r, 1) == ([7],)
    caller.preempt(s)
    assert caller.queue == [6, 5, 4]
    r.append_output_token_ids(fresh(4))
    assert caller.step(r, 4) == ([6],)
    assert caller.queue == [5, 4]
    before = caller.state()
    assert caller.admit(s) == (([4, 5],), 8, None)
    assert caller.state() == before
    caller.free(r)
    assert caller.queue == [5, 4, 6, 7, 3, 2, 1]
    assert caller.admit(s) == (([4, 5],), 8, ([6],))
    assert caller.queue == [7, 3, 2, 1]


def test_ex_11_the_cache_is_reset_once_nothing_is_held() -> None:
    caller = Caller(full(2), blocks=5, enable_kv_cache_events=True)
    a = caller.request("a", 5)
    caller.admit(a)
    a.append_output_token_ids(fresh(1))
    caller.step(a, 1)
    caller.free(a)
    assert caller.queue == [4, 3, 2, 1]
    b = caller.request("b", 7)
    assert caller.admit(b)[2] == ([4, 3, 2, 1],)
    names = [type(event).__name__ for event in caller.events()]
    assert names == ["BlockStored"] * 2 + ["BlockRemoved"] * 3 + ["BlockStored"]
    assert not caller.manager.reset_prefix_cache()
    caller.free(b)
    assert caller.manager.reset_prefix_cache()
    assert caller.queue == [1, 2, 3, 4]
    assert [type(event).__name__ for event in caller.events()] == ["AllBlocksCleared"]


def test_ex_12_tokens_from_a_connector_are_cached_once_they_are_there() -> None:
    caller = Caller(full(4), blocks=20)
    a = caller.request("a", 22)
    admitted = caller.admit(a, 0, num_external_computed_tokens=16, delay_cache_blocks=True)
    assert admitted == (([],), 0, ([],))
    assert caller.table(a) == [1, 2, 3, 4]
    assert caller.cached(a) == {}
    assert caller.manager.groups[0].tables[a.request_id].handled == 0
    assert caller.manager.take_new_block_ids() == [1, 2, 3, 4]
    caller.manager.cache_blocks(a, 16)
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3, 3: 4}
    assert caller.step(a, 6) == ([5, 6],)
    assert caller.cached(a) == {0: 1, 1: 2, 2: 3, 3: 4, 4: 5}


def test_ex_12_a_window_takes_blocks_for_external_tokens_that_it_still_reads() -> None:
    caller = Caller(sliding(4, 8), blocks=20)
    a = caller.request("a", 22)
    assert caller.admit(a, 3, num_external_computed_tokens=16)[2] == ([3],)
    assert caller.table(a) == [0, 0, 1, 2, 3]
    assert caller.cached(a) == {2: 1, 3: 2}


def test_ex_13_a_sequence_must_fit_and_reserved_blocks_stay_free() -> None:
    caller = Caller(full(4), blocks=8)
    a = caller.request("a", 30)
    before = caller.state()
    assert caller.admit(a, 4, full_sequence_must_fit=True)[2] is None
    assert caller.admit(a, 4, reserved_blocks=7)[2] is None
    assert caller.state() == before
    assert caller.admit(a, 4, reserved_blocks=6)[2] == ([1],)


def test_ex_13_a_window_must_fit_with_what_it_holds_at_a_time() -> None:
    caller = Caller(sliding(4, 8), blocks=8, max_num_batched_tokens=8)
    a = caller.request("a", 60)
    assert caller.admit(a, 8, full_sequence_must_fit=True)[2] == ([1, 2],)


def test_ex_13_no_slots_behind_the_models_length() -> None:
    caller = Caller(full(4), blocks=8, model=10)
    a = caller.request("a", 9)
    caller.admit(a)
    assert caller.step(a, 1, lookahead=7) == ([],)
    assert caller.table(a) == [1, 2, 3]


def test_ex_14_the_oldest_of_two_equal_blocks_answers() -> None:
    caller = Caller(full(4), blocks=8)
    tokens = fresh(8)
    a, b = caller.request("a", tokens), caller.request("b", tokens)
    found = [caller.manager.get_computed_blocks(request) for request in (a, b)]
    for request, (hits, length), expected in zip((a, b), found, ([1, 2], [3, 4]), strict=True):
        taken = caller.manager.allocate_slots(request, 8 - length, length, hits)
        assert taken is not None
        assert taken.get_block_ids() == (expected,)
    assert sorted(map(list, caller.manager.pool.prefix_map.values())) == [[1, 3], [2, 4]]
    caller.free(a)
    assert caller.queue == [5, 6, 7, 2, 1]
    c = caller.request("c", tokens + fresh(4))
    assert caller.admit(c) == (([1, 2],), 8, ([5],))
    assert caller.queue == [6, 7]


def test_ex_15_a_state_of_this_very_step_cannot_be_resumed_from_yet() -> None:
    caller = Caller(full(4), mamba(4), blocks=20)
    tokens = fresh(9)
    a, b = caller.request("a", tokens), caller.request("b", tokens)
    assert caller.admit(a)[2] == ([1, 2, 3], [4, 5, 6])
    assert caller.admit(b) == (([1, 2], [0, 5]), 8, None)
    caller.manager.new_step_starts()
    assert caller.admit(b)[2] == ([7], [8])


def test_ex_16_items_adapter_and_salt_enter_the_extra_keys_of_their_blocks() -> None:
    def item(name: str, start: int, end: int) -> MultiModalFeature:
        return MultiModalFeature(name, PlaceholderRange(start, end - start))

    caller = Caller(full(16), blocks=10, enable_kv_cache_events=True)
    items = [item("aaa", 11, 21), item("bbb", 30, 48), item("ccc", 48, 55)]
    caller.admit(caller.request("a", 64, mm_features=items))
    [stored] = caller.events()
    assert getattr(stored, "extra_keys", None) == (
        (("aaa", 11),),
        (("aaa", -5), ("bbb", 14)),
        (("bbb", -2),),
        (("ccc", 0),),
    )

    caller = Caller(full(4), blocks=10, enable_kv_cache_events=True)
    lora = LoRARequest("L", 7)
    caller.admit(caller.request("a", 8, mm_features=[item("m", 1, 3)], lora_request=lora, cache_salt="S"))
    [stored] = caller.events()
    assert getattr(stored, "extra_keys", None) == (("L", ("m", 1), "S"), ("L",))


def test_ex_17_states_of_every_block_are_kept_for_a_hit() -> None:
    caller = Caller(mamba(4, 1, "all"), blocks=20)
    tokens = fresh(13)
    a = caller.request("a", tokens[:9])
    assert caller.admit(a)[2] == ([1, 2, 3, 4],)
    a.append_output_token_ids(tokens[9:])
    assert caller.step(a, 4) == ([5],)
    assert caller.table(a) == [0, 2, 3, 4, 5]
    assert caller.queue == [*range(6, 20), 1]
    caller.free(a)
    assert caller.queue == [*range(6, 20), 1, 5, 4, 3, 2]
    caller.manager.new_step_starts()
    b = caller.request("b", tokens[:9])
    assert caller.admit(b) == (([0, 2],), 8, ([6, 7],))
