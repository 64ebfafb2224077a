"""What a consumer is told: EVENT-1 to EVENT-8, POOL-5, HASH-11, RESET-1, Q-12, Q-13, Q-14, Q-19."""

from kvref.events import MEDIUM_GPU, AllBlocksCleared, BlockRemoved, BlockStored
from kvref.request import LoRARequest, MultiModalFeature, PlaceholderRange, Request
from tests.reference.driving import Caller, fresh, full, sliding


def numbers(request: Request) -> list[int]:
    """The hashes of a request's fine blocks as events name them."""
    return [int.from_bytes(block_hash[-8:], "big") for block_hash in request.block_hashes]


def stored(caller: Caller) -> list[BlockStored]:
    return [event for event in caller.events() if isinstance(event, BlockStored)]


def test_event_8_a_request_grows_is_freed_and_its_blocks_are_taken() -> None:
    caller = Caller(full(2), blocks=5, enable_kv_cache_events=True)
    tokens = fresh(6)
    a = caller.request("a", tokens[:5])
    caller.admit(a)
    first, second = numbers(a)
    expected = BlockStored(
        block_hashes=(first, second),
        parent_block_hash=None,
        token_ids=tuple(tokens[:4]),
        block_size=2,
        lora_id=None,
        medium="GPU",
        lora_name=None,
        extra_keys=(None, None),
        group_idx=caller.manager.groups[0].group_id,
        kv_cache_spec_kind="full_attention",
        kv_cache_spec_sliding_window=None,
    )
    assert caller.events() == [expected]
    a.append_output_token_ids(tokens[5])
    caller.step(a, 1)
    [event] = stored(caller)
    assert event.block_hashes == (numbers(a)[2],)
    assert event.parent_block_hash == second
    assert event.token_ids == tuple(tokens[4:])
    caller.free(a)
    assert caller.events() == []
    caller.admit(caller.request("b", 7))
    *removed, last = caller.events()
    gone = [BlockRemoved((number,), MEDIUM_GPU, caller.manager.groups[0].group_id) for number in numbers(a)]
    assert removed == gone[::-1]
    assert isinstance(last, BlockStored)
    assert len(last.block_hashes) == 3


def test_events_are_told_once_and_only_if_they_are_wanted() -> None:
    # EVENT-1
    caller = Caller(full(2), blocks=5, enable_kv_cache_events=True)
    caller.admit(caller.request("a", 5))
    assert len(caller.events()) == 1
    assert caller.events() == []
    silent = Caller(full(2), blocks=5)
    silent.admit(silent.request("a", 5))
    assert silent.events() == []


def test_one_event_a_group_removals_first() -> None:
    # EVENT-7: both groups take evicted blocks, then both store.
    caller = Caller(full(4), sliding(4, 8), blocks=7, enable_kv_cache_events=True)
    a = caller.request("a", 12)
    caller.admit(a)
    caller.free(a)
    caller.events()
    caller.admit(caller.request("b", 12))
    events = caller.events()
    assert [type(event) for event in events] == [BlockRemoved] * 6 + [BlockStored] * 2
    first, second = (event for event in events if isinstance(event, BlockStored))
    assert (first.group_idx, second.group_idx) == (0, 1)


def test_a_store_tells_its_groups_kind_and_window() -> None:
    # EVENT-6, CFG-8
    caller = Caller(full(4), sliding(4, 8), blocks=9, enable_kv_cache_events=True)
    caller.admit(caller.request("a", 12))
    kinds = [(e.kv_cache_spec_kind, e.kv_cache_spec_sliding_window) for e in stored(caller)]
    assert kinds == [("full_attention", None), ("sliding_window", 8)]


def test_an_adapter_is_named_by_id_and_name() -> None:
    # EVENT-3
    caller = Caller(full(4), blocks=9, enable_kv_cache_events=True)
    caller.admit(caller.request("a", 5, lora_request=LoRARequest("helper", 7)))
    [event] = stored(caller)
    assert (event.lora_id, event.lora_name) == (7, "helper")
    assert event.extra_keys == (("helper",),)


def test_blocks_that_retention_does_not_keep_leave_an_empty_event() -> None:
    # Q-12, CACHE-5: sliding 4 W 4, interval 0, a prompt of 20, of which 8 come first.
    caller = Caller(sliding(4, 4), blocks=20, retention_interval=0, enable_kv_cache_events=True)
    a = caller.request("a", 20)
    caller.admit(a, 8)
    [event] = stored(caller)
    assert event.block_hashes == ()
    assert len(event.token_ids) == 8
    assert event.extra_keys is None
    caller.step(a, 12)
    [event] = stored(caller)
    # Only the block before 16 is kept; the parent is a hash that was never stored.
    assert event.block_hashes == (numbers(a)[3],)
    assert event.parent_block_hash == numbers(a)[1]
    assert len(event.token_ids) == 12


def test_extra_keys_are_told_at_the_groups_own_block_size() -> None:
    # full 8 and sliding 4, an item at 5: the full group says 5, the fine hash used 1.
    caller = Caller(full(8), sliding(4, 8), blocks=20, enable_kv_cache_events=True)
    item = MultiModalFeature("A", PlaceholderRange(5, 2))
    caller.admit(caller.request("a", 9, mm_features=[item]))
    first, second = stored(caller)
    assert first.extra_keys == ((("A", 5),),)
    assert second.extra_keys == (None, (("A", 1),))


def test_extra_keys_of_a_late_block_name_all_its_items() -> None:
    # Q-13 with Q-10: the hash of block 1 knows B alone, the event tells both.
    caller = Caller(full(16), blocks=20, enable_kv_cache_events=True)
    items = [
        MultiModalFeature("A", PlaceholderRange(16, 2)),
        MultiModalFeature("B", PlaceholderRange(18, 2)),
    ]
    a = caller.request("a", 20, mm_features=items)
    caller.admit(a)
    a.append_output_token_ids(fresh(12))
    caller.step(a, 12)
    _, late = stored(caller)
    assert late.extra_keys == ((("A", 0), ("B", 2)),)


def test_a_coarse_block_has_the_number_of_its_last_fine_block() -> None:
    # Q-14, CACHE-3: full 32, sliding 8 W 8, 64 tokens.
    caller = Caller(full(32), sliding(8, 8), blocks=40, enable_kv_cache_events=True)
    a = caller.request("a", 64)
    caller.admit(a)
    first, second = stored(caller)
    assert first.block_hashes == second.block_hashes == (numbers(a)[3], numbers(a)[7])


def test_one_of_two_equal_blocks_is_told_when_it_goes() -> None:
    # EVENT-4, MAP-4
    caller = Caller(full(4), blocks=11, enable_kv_cache_events=True)
    tokens = fresh(12)
    for name in ("a", "b"):
        request = caller.request(name, tokens)
        caller.admit(request)
        caller.free(request)
    caller.events()
    caller.manager.evict_blocks([4])
    group = caller.manager.groups[0].group_id
    assert caller.events() == [BlockRemoved((numbers(request)[2],), MEDIUM_GPU, group)]
    assert caller.cached(request)[2] == 3


def test_evicting_tells_each_block_once_and_blocks_without_content_not_at_all() -> None:
    # POOL-8, Q-19: in which order is left open.
    caller = Caller(full(4), blocks=11, enable_kv_cache_events=True)
    a = caller.request("a", 13)
    caller.admit(a)
    caller.events()
    caller.manager.evict_blocks([4, 2, 1, 2, 9])
    gone = [event.block_hashes[0] for event in caller.events() if isinstance(event, BlockRemoved)]
    assert sorted(gone) == sorted(numbers(a)[:2])
    caller.manager.evict_blocks([1, 2])
    assert caller.events() == []


def test_freeing_forgetting_and_hitting_tell_nothing() -> None:
    # EVENT-5
    caller = Caller(sliding(2, 4), blocks=20, enable_kv_cache_events=True)
    tokens = fresh(14)
    a = caller.request("a", tokens)
    caller.admit(a)
    caller.events()
    caller.manager.remove_skipped_blocks(a.request_id, 13)
    caller.free(a)
    caller.lookup(caller.request("b", tokens))
    assert caller.events() == []


def test_a_reset_is_one_event() -> None:
    # RESET-1, EVENT-5
    caller = Caller(full(4), blocks=5, enable_kv_cache_events=True)
    assert caller.manager.reset_prefix_cache()
    assert caller.events() == [AllBlocksCleared()]
