"""What each view shows of a manager, and that writing through it reaches the manager.

The rules of the peer's inner structures: DATA-2, QUEUE-1 to QUEUE-6, MAP-1 to MAP-5, MGR-1, EVENT-9, ERR-1, ERR-2,
ERR-4, ERR-5, ERR-12, ERR-15.
"""

import copy
import logging

import pytest

from kvref.compat.vllm import kv_cache_utils
from kvref.compat.vllm.backing import use
from kvref.compat.vllm.block_pool import BlockPool
from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.free_queue import FreeKVCacheBlockQueue
from kvref.compat.vllm.hashing import sha256_cbor
from kvref.compat.vllm.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec
from kvref.compat.vllm.kv_cache_manager import KVCacheManager
from kvref.compat.vllm.kv_cache_metrics import KVCacheMetricsCollector
from kvref.compat.vllm.kv_events import AllBlocksCleared, BlockRemoved, BlockStored, meant, shown
from kvref.compat.vllm.lora import LoRARequest
from kvref.compat.vllm.prefix_map import BlockHashToBlockMap
from kvref.compat.vllm.request import Request
from kvref.compat.vllm.sampling_params import SamplingParams
from kvref.compat.vllm.single_type_kv_cache_manager import (
    SlidingWindowManager,
    get_manager_for_kv_cache_spec,
    manager_class,
)
from kvref.errors import ConfigurationError, ForeignHitError
from kvref.kv_cache_spec import (
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    SlidingWindowSpec,
)
from kvref.targets.inprocess import FLOAT16
from spec.units import BlockHash, BlockId, BlockKey

FULL = FullAttentionSpec(4, num_kv_heads=1, head_size=8, dtype=FLOAT16)
WINDOW = SlidingWindowSpec(4, num_kv_heads=1, head_size=8, dtype=FLOAT16, sliding_window=8)
A, B = BlockKey(b"a" * 36), BlockKey(b"b" * 36)


@pytest.fixture(autouse=True, params=["reference", "optimized"])
def _manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use(request.param)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    kv_cache_utils.init_none_hash(sha256_cbor)


def manager_of(*specs: KVCacheSpec, num_blocks: int = 9, events: bool = False) -> KVCacheManager:
    config = KVCacheConfig(num_blocks, [], [KVCacheGroupSpec((), spec) for spec in specs])
    return KVCacheManager(config, 100, 4, 4, log_stats=True, enable_kv_cache_events=events)


def request_of(name: str, tokens: int, lora: LoRARequest | None = None) -> Request:
    hasher = kv_cache_utils.get_request_block_hasher(4, sha256_cbor)
    return Request(name, list(range(tokens)), SamplingParams(), block_hasher=hasher, lora_request=lora)


def pool_of(num_blocks: int) -> BlockPool:
    return BlockPool(num_blocks, enable_caching=True, hash_block_size=4)


def window_over(pool: BlockPool) -> SlidingWindowManager:
    return SlidingWindowManager(
        WINDOW, pool, enable_caching=True, kv_cache_group_id=0, scheduler_block_size=4
    )


def queued(manager: KVCacheManager) -> list[int]:
    return [block.block_id for block in manager.block_pool.free_block_queue.get_all_free_blocks()]


# The free queue


def test_a_link_is_looked_up_when_it_is_read() -> None:
    manager = manager_of(FULL, num_blocks=5)
    queue, blocks = manager.block_pool.free_block_queue, manager.block_pool.blocks
    assert queue.fake_free_list_head.next_free_block is blocks[1]
    request = request_of("r", 6)
    manager.allocate_slots(request, 6)
    assert queue.fake_free_list_head.next_free_block is blocks[3]
    assert blocks[3].prev_free_block is queue.fake_free_list_head
    assert blocks[1].next_free_block is None
    manager.free(request)
    assert queue.fake_free_list_tail.prev_free_block is blocks[1]


def test_what_is_done_to_the_queue_is_done_to_the_managers_queue() -> None:
    manager = manager_of(FULL, num_blocks=5)
    queue = manager.block_pool.free_block_queue
    third = manager.block_pool.blocks[3]
    queue.remove(third)
    queue.prepend_n([third])
    blocks = manager.allocate_slots(request_of("r", 6), 6)
    assert blocks is not None
    assert blocks.get_block_ids() == ([3, 1],)


def test_an_inner_call_that_cannot_be_is_refused_as_by_the_peer() -> None:
    queue = FreeKVCacheBlockQueue([KVCacheBlock(0), KVCacheBlock(1)])
    stranger = KVCacheBlock(7)
    with pytest.raises(RuntimeError, match="invalid block"):
        queue.remove(stranger)
    with pytest.raises(AssertionError):
        queue.popleft_n(3)
    assert [block.block_id for block in queue.popleft_n(2)] == [0, 1]
    with pytest.raises(ValueError, match="No free blocks available"):
        queue.popleft()


def test_a_link_that_is_overwritten_by_hand_makes_every_change_an_error() -> None:
    queue = FreeKVCacheBlockQueue([KVCacheBlock(0)])
    queue.fake_free_list_tail.prev_free_block = queue.get_all_free_blocks()[0]
    queue.append(KVCacheBlock(1))
    queue.fake_free_list_head.next_free_block = None
    with pytest.raises(AssertionError, match="overwritten"):
        queue.append(KVCacheBlock(2))
    with pytest.raises(AssertionError, match="overwritten"):
        queue.popleft()


# Blocks


def test_a_block_prints_its_neighbours_by_id() -> None:
    queue = FreeKVCacheBlockQueue([KVCacheBlock(0), KVCacheBlock(1), KVCacheBlock(2)])
    assert repr(queue.get_all_free_blocks()[1]) == (
        "KVCacheBlock(block_id=1, ref_cnt=0, _block_hash=None, prev_free_block=0, next_free_block=2)"
    )
    assert repr(KVCacheBlock(5)).endswith("prev_free_block=None, next_free_block=None)")


def test_a_block_has_one_key_at_a_time() -> None:
    block = KVCacheBlock(1)
    block.block_hash = A
    with pytest.raises(AssertionError, match="already has a hash"):
        block.block_hash = B
    block.reset_hash()
    block.block_hash = B
    assert block.block_hash == B


def test_what_is_written_to_a_block_is_the_managers() -> None:
    manager = manager_of(FULL, num_blocks=3)
    manager.block_pool.blocks[1].ref_cnt = 1
    manager.block_pool.free_block_queue.remove(manager.block_pool.blocks[1])
    assert not manager.reset_prefix_cache()
    manager.block_pool.free_blocks([manager.block_pool.blocks[1]])
    assert manager.reset_prefix_cache()
    assert manager.block_pool.blocks[1].ref_cnt == 0


# The prefix map


def test_popping_the_inner_dictionary_takes_the_block_from_the_managers_map() -> None:
    manager = manager_of(FULL)
    first, second = request_of("a", 9), request_of("b", 9)
    manager.allocate_slots(first, 9)
    inner = manager.block_pool.cached_block_hash_to_block._cache
    key = kv_cache_utils.make_block_hash_with_group_id(first.block_hashes[1], 0)
    before = copy.copy(inner)
    assert list(inner.pop(key).values()) == [manager.block_pool.blocks[2]]
    assert manager.get_computed_blocks(second)[1] == 4
    assert len(inner) == 1
    inner[key] = before[key]
    assert manager.get_computed_blocks(second)[1] == 8
    assert inner.pop(A, None) is None
    with pytest.raises(KeyError):
        inner.pop(A)
    with pytest.raises(KeyError):
        inner[A]


def test_a_value_equals_its_lone_block_and_its_blocks_by_id() -> None:
    prefix_map = BlockHashToBlockMap()
    one, two = KVCacheBlock(1), KVCacheBlock(2)
    prefix_map.insert(A, one)
    assert prefix_map._cache == copy.copy(prefix_map._cache) == {A: one}
    assert prefix_map._cache == copy.copy(prefix_map._cache) == {A: {1: one}}
    held = prefix_map._cache[A]
    prefix_map.insert(A, two)
    assert held == {1: one, 2: two}
    assert prefix_map._cache != {A: one}
    del held[BlockId(1)]
    assert prefix_map.get_one_block(A) is two
    held[BlockId(1)] = one
    assert list(held) == [2, 1]
    with pytest.raises(KeyError):
        del held[BlockId(9)]
    assert prefix_map.pop(A, 9) is None
    prefix_map._cache.clear()
    assert len(prefix_map) == 0


def test_a_map_stays_a_view_when_the_manager_starts_a_new_one() -> None:
    manager = manager_of(FULL)
    prefix_map = manager.block_pool.cached_block_hash_to_block
    request = request_of("a", 9)
    manager.allocate_slots(request, 9)
    manager.free(request)
    assert len(prefix_map) == 2
    assert manager.reset_prefix_cache()
    assert len(prefix_map) == 0
    manager.allocate_slots(request, 9)
    assert len(prefix_map) == 2


# The pool


def test_a_mask_leaves_blocks_out() -> None:
    pool = BlockPool(5, enable_caching=True, hash_block_size=4, enable_kv_cache_events=True)
    blocks = pool.get_new_blocks(3)
    pool.cache_full_blocks(request_of("r", 12), blocks, 1, 3, 4, 1, [False, True])
    assert [block.block_hash is not None for block in blocks] == [False, False, True]
    (event,) = pool.take_events()
    assert isinstance(event, BlockStored)
    assert (event.token_ids, event.group_idx, event.kv_cache_spec_kind) == ([*range(4, 12)], 1, None)
    assert len(event.block_hashes) == 1


def test_blocks_are_taken_held_evicted_and_freed_by_hand() -> None:
    pool = pool_of(4)
    with pytest.raises(ValueError, match="Cannot get 4 free blocks"):
        pool.get_new_blocks(4)
    one, two = pool.get_new_blocks(2)
    pool.touch([one, pool.null_block])
    pool.cache_full_blocks(request_of("r", 8), [one, two], 0, 2, 4, 0)
    assert pool.get_usage() == pytest.approx(2 / 3)
    assert not pool.reset_prefix_cache()
    pool.evict_blocks({1})
    assert not pool._maybe_evict_cached_block(one)
    with pytest.raises(AssertionError, match="Invalid block_id"):
        pool.evict_blocks({4})
    pool.free_blocks([one, two, pool.null_block], prepend=True)
    assert [block.block_id for block in pool.free_block_queue.get_all_free_blocks()] == [2, 3]
    pool.free_blocks([one])
    assert pool.reset_prefix_cache()


def test_a_pool_that_does_not_cache_takes_blocks_with_their_content() -> None:
    pool = BlockPool(2, enable_caching=False, hash_block_size=4)
    [block] = pool.get_new_blocks(1)
    pool.cache_full_blocks(request_of("r", 4), [block], 0, 1, 4, 0)
    pool.free_blocks([block])
    assert pool.get_new_blocks(1) == [block]
    assert block.block_hash is not None


def test_a_block_is_not_cached_twice() -> None:
    pool = pool_of(4)
    blocks, request = pool.get_new_blocks(2), request_of("r", 8)
    pool.cache_full_blocks(request, blocks, 1, 2, 4, 0)
    with pytest.raises(AssertionError, match="block 2 already has a hash"):
        pool.cache_full_blocks(request, blocks, 0, 2, 4, 0)
    assert len(pool.cached_block_hash_to_block) == 2


# Groups


def test_a_table_set_by_hand_is_the_managers_table() -> None:
    pool = pool_of(20)
    group = window_over(pool)
    mine = pool.get_new_blocks(5)
    taken = list(mine)
    group.req_to_blocks["r"] = mine
    assert group.get_num_skipped_tokens(12) == 5
    group.remove_skipped_blocks("r", 12)
    assert mine == [pool.null_block, *taken[1:]]
    assert group.req_to_blocks["r"] is mine
    assert "r" not in group.num_cached_block
    group.num_cached_block["r"] = 2  # type: ignore[assignment]
    group.cache_blocks(request_of("r", 20), 20)
    assert [block.block_hash is None for block in mine] == [True, True, False, False, False]
    group.free("r")
    assert not group.req_to_blocks


def test_what_is_done_to_a_list_that_was_set_as_a_table_is_done_to_the_table() -> None:
    pool = pool_of(20)
    group = window_over(pool)
    mine = pool.get_new_blocks(1)
    group.req_to_blocks["r"] = mine
    mine.extend(pool.get_new_blocks(2))
    assert [block.block_id for block in group.allocate_new_blocks("r", 16, 16)] == [4]
    assert [block.block_id for block in mine] == [1, 2, 3, 4]
    mine.pop()
    group.free("r")
    assert [block.block_id for block in pool.free_block_queue.get_all_free_blocks()[:3]] == [3, 2, 1]
    assert pool.blocks[4].ref_cnt == 1


def test_a_table_that_is_asked_for_is_made_and_one_that_is_got_is_not() -> None:
    group = window_over(pool_of(5))
    assert group.req_to_blocks.get("r") is None
    assert "r" not in group.req_to_blocks
    group.req_to_blocks["r"].append(group.block_pool.blocks[1])
    assert group.req_to_blocks.pop("r") == [group.block_pool.blocks[1]]
    assert group.req_to_blocks.pop("r", 0) == 0
    with pytest.raises(KeyError):
        group.req_to_blocks.pop("r")


def test_a_table_that_was_only_asked_for_is_none() -> None:
    manager = manager_of(FULL)
    first, second = request_of("a", 9), request_of("b", 9)
    manager.allocate_slots(first, 9)
    asked = manager.coordinator.single_type_managers[0].req_to_blocks["b"]
    blocks, hit = manager.get_computed_blocks(second)
    assert manager.allocate_slots(second, 1, hit, blocks) is not None
    assert asked == []
    assert manager.get_block_ids("b") == ([1, 2, 4],)
    asked.extend([])


def test_an_inner_call_that_asks_too_much_is_refused_as_by_the_peer() -> None:
    # ERR-2, ERR-3, ERR-4, ERR-6
    pool = pool_of(3)
    group = window_over(pool)
    with pytest.raises(ValueError, match="Cannot get 3 free blocks"):
        group.allocate_new_blocks("r", 12, 12)
    with pytest.raises(ValueError, match="Cannot get 3 free blocks"):
        group.allocate_new_computed_blocks("s", (), 0, 13)
    assert pool.get_num_free_blocks() == 2
    (block,) = group.allocate_new_blocks("t", 4, 4)
    with pytest.raises(AssertionError, match="has a table"):
        group.allocate_new_computed_blocks("t", [block], 4, 0)
    with pytest.raises(AssertionError, match="has a table"):
        group.get_num_blocks_to_allocate("t", 8, [block], 4, 8)
    with pytest.raises(RuntimeError, match="neither held nor queued"):
        pool.touch([pool.free_block_queue.popleft()])
    with pytest.raises(AssertionError, match="as many hashes"):
        pool.cache_full_blocks(request_of("t", 4), [block], 0, 2, 4, 0)
    group.enable_caching = False
    with pytest.raises(AssertionError, match="should be empty"):
        group.allocate_new_computed_blocks("u", [block], 4, 0)
    with pytest.raises(AssertionError, match="no null block"):
        pool_of(0)


def test_a_group_caches_what_it_is_told_to_whatever_its_manager_rounds() -> None:
    # MGR-4, RETAIN-3
    pool = pool_of(9)
    group = SlidingWindowManager(
        WINDOW, pool, enable_caching=True, kv_cache_group_id=1, scheduler_block_size=16
    )
    group.allocate_new_blocks("r", 20, 20)
    group.cache_blocks(request_of("r", 20), 12, retention_interval=0)
    assert [block.block_hash is not None for block in pool.blocks[1:6]] == [False, False, True, False, False]
    group.cache_blocks(request_of("r", 20), 20)
    assert [block.block_hash is not None for block in pool.blocks[1:6]] == [False, False, True, True, False]
    assert group.num_cached_block == {"r": 5}
    del group.num_cached_block["r"]
    assert not group.num_cached_block
    with pytest.raises(KeyError):
        del group.num_cached_block["r"]


def test_a_part_that_cannot_be_put_in_place_of_a_view_is_refused() -> None:
    manager = manager_of(FULL)
    (group,) = manager.coordinator.single_type_managers
    for owner, name in [
        (manager.block_pool, "free_block_queue"),
        (manager.block_pool, "cached_block_hash_to_block"),
        (group, "req_to_blocks"),
        (group, "num_cached_block"),
    ]:
        with pytest.raises(AttributeError):
            setattr(owner, name, getattr(owner, name))


def test_what_is_written_in_place_of_a_list_is_the_managers() -> None:
    manager = manager_of(FULL, events=True)
    (group,) = manager.coordinator.single_type_managers
    manager.allocate_slots(request_of("r", 9), 9)
    group.new_block_ids = [BlockId(7)]
    assert manager.take_new_block_ids() == [7]
    manager.block_pool.kv_event_queue = [AllBlocksCleared()]
    assert manager.take_events() == [AllBlocksCleared()]


def test_need_and_growth_agree_step_by_step() -> None:
    group = window_over(pool_of(20))
    for tokens in (3, 9, 17):
        need = group.get_num_blocks_to_allocate("r", tokens, (), tokens, tokens)
        assert len(group.allocate_new_blocks("r", tokens, tokens)) == need
    group.allocate_new_computed_blocks("s", (), 0, 12)
    assert len(group.req_to_blocks["s"]) == 3


def test_groups_go_by_the_peers_class_names() -> None:
    manager = manager_of(FULL, MambaSpec(4, ((1,),), (FLOAT16,)), WINDOW)
    names = [type(group).__name__ for group in manager.coordinator.single_type_managers]
    assert names == ["FullAttentionManager", "MambaManager", "SlidingWindowManager"]
    assert type(manager.coordinator).__name__ == "HybridKVCacheCoordinator"
    with pytest.raises(AssertionError, match="No manager registered for KVCacheSpec KVCacheSpec"):
        manager_class(KVCacheSpec(4))


def test_needs_add_up_over_groups() -> None:
    # NEED-3
    manager = manager_of(FULL, WINDOW, num_blocks=30)
    request = request_of("r", 20)
    need = manager.coordinator.get_num_blocks_to_allocate("r", 18, ((), ()), 0, 0, 18)
    blocks = manager.allocate_slots(request, 18)
    assert blocks is not None
    assert need == sum(len(ids) for ids in blocks.get_block_ids()) == 10


def test_a_cross_attention_group_needs_blocks_for_its_encoder() -> None:
    # NEED-3
    cross = CrossAttentionSpec(4, num_kv_heads=1, head_size=8, dtype=FLOAT16)
    config = KVCacheConfig(30, [], [KVCacheGroupSpec((), FULL), KVCacheGroupSpec((), cross)])
    manager = KVCacheManager(config, 100, 4, 4, enable_caching=False)
    need = manager.coordinator.get_num_blocks_to_allocate("r", 8, ((), ()), 12, 0, 8)
    blocks = manager.allocate_slots(request_of("r", 8), 8, num_encoder_tokens=12)
    assert blocks is not None
    assert need == sum(len(ids) for ids in blocks.get_block_ids()) == 5


def test_groups_with_an_equal_spec_stand_together() -> None:
    # HIT-2
    manager = manager_of(WINDOW, FULL, WINDOW, num_blocks=30)
    assert [group.group_ids for group in manager.coordinator.attention_groups] == [[0, 2], [1]]
    assert manager.kv_cache_event_metadata[:2] == [("sliding_window", 8), ("full_attention", None)]


def test_a_group_is_made_for_its_spec() -> None:
    # REG-1
    group = get_manager_for_kv_cache_spec(
        WINDOW,
        64,
        100,
        block_pool=pool_of(5),
        enable_caching=True,
        kv_cache_group_id=0,
        scheduler_block_size=4,
    )
    assert type(group) is SlidingWindowManager
    assert group.scheduler_block_size == group.block_size == 4


def test_states_of_this_step_are_seen_and_forgotten() -> None:
    manager = manager_of(FULL, MambaSpec(4, ((1,),), (FLOAT16,)))
    request = request_of("r", 9)
    manager.allocate_slots(request, 9)
    states = manager.coordinator.single_type_managers[1]
    assert len(states.cached_blocks_this_step) == 2
    hits = states.req_to_blocks["r"][:2]
    assert states.get_num_blocks_to_allocate("s", 9, hits, 8, 9) == 10
    manager.new_step_starts()
    assert not states.cached_blocks_this_step


# The manager, events, requests


def test_events_come_in_lists_and_carry_the_facts_of_their_group() -> None:
    manager = manager_of(FULL, WINDOW, num_blocks=20, events=True)
    lora = LoRARequest(lora_name="adapter", lora_int_id=3, lora_path="somewhere")
    manager.allocate_slots(request_of("r", 9, lora), 9)
    stored = manager.take_events()
    assert [(event.kv_cache_spec_kind, event.kv_cache_spec_sliding_window) for event in stored] == [  # type: ignore[attr-defined]
        ("full_attention", None),
        ("sliding_window", 8),
    ]
    assert isinstance(stored[0], BlockStored)
    assert (stored[0].lora_id, stored[0].lora_name) == (lora.adapter_id, lora.name)
    assert manager.take_events() == []


@pytest.mark.parametrize(
    "event",
    [
        BlockStored([1], None, [4, 5], 2, None, None, None, [("x", ("item", -1)), None], 3),
        BlockRemoved([7], "GPU", 1),
        BlockRemoved([7], "GPU"),
        AllBlocksCleared(),
    ],
)
def test_an_event_survives_the_way_to_kvref_and_back(event: BlockStored | BlockRemoved) -> None:
    assert shown(meant(event)) == event
    assert hash(shown(meant(event))) == hash(event)


def test_an_event_of_an_unknown_group_is_passed_on_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    manager = manager_of(FULL, events=True)
    foreign = BlockStored([1], None, [4], 1, None, None, None, group_idx=5)
    nameless = BlockStored([1], None, [4], 1, None, None, None)
    manager.block_pool.kv_event_queue += [foreign, nameless]
    assert [manager.block_pool.kv_event_queue[0], *manager.block_pool.kv_event_queue[1:]] == [
        foreign,
        nameless,
    ]
    with caplog.at_level(logging.WARNING):
        assert manager.take_events() == [foreign, nameless]
    assert [record.getMessage() for record in caplog.records] == ["Group index `5` not in KV cache metadata"]


def test_the_environment_sets_the_retention_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_PREFIX_CACHE_RETENTION_INTERVAL", "16")
    assert manager_of(WINDOW).coordinator.retention_interval == 16
    monkeypatch.setenv("VLLM_PREFIX_CACHE_RETENTION_INTERVAL", "5")
    with pytest.raises(ConfigurationError, match="multiple of scheduler_block_size"):
        manager_of(WINDOW)


def test_events_with_hashes_in_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES", "0")
    assert kv_cache_utils.maybe_convert_block_hash(BlockHash(b"x" * 8)) == b"x" * 8
    with pytest.raises(ConfigurationError, match="by number"):
        manager_of(FULL, events=True)


def test_the_managers_own_answers_are_passed_on() -> None:
    manager = manager_of(FULL)
    request = request_of("r", 9)
    assert manager.get_computed_blocks(request)[0] is manager.empty_kv_cache_blocks
    manager.allocate_slots(request, 9)
    assert manager.usage == pytest.approx(3 / 8)
    assert manager.get_block_ids("r") == manager.get_blocks("r").get_block_ids() == ([1, 2, 3],)
    assert manager.get_num_common_prefix_blocks("r") == [3]
    assert manager.take_new_block_ids() == [1, 2, 3]
    assert manager.coordinator.single_type_managers[0].take_new_block_ids() == []
    with pytest.raises(ForeignHitError):
        manager.allocate_slots(request, 1, 4, manager.get_blocks("r"))
    stats = manager.make_prefix_cache_stats()
    assert stats is not None
    assert (stats.requests, stats.queries) == (1, 9)
    assert manager.create_kv_cache_blocks(((),)) is manager.empty_kv_cache_blocks
    manager.evict_blocks({1})
    manager.remove_skipped_blocks("r", 8)
    manager.cache_blocks(request, 8)
    manager.free(request)
    assert queued(manager) == [4, 5, 6, 7, 8, 3, 2, 1]


def test_a_request_counts_its_drafts_and_outputs_apart() -> None:
    request = request_of("r", 5)
    request.append_output_token_ids([7, 8])
    request.spec_token_ids = [1, 2, 3]
    assert (request.num_tokens, request.num_output_tokens, request.num_tokens_with_spec) == (7, 2, 10)
    assert request.output_token_ids == [7, 8]
    assert not request.skip_reading_prefix_cache
    assert SamplingParams(prompt_logprobs=1).skip_reading_prefix_cache
    assert not SamplingParams(prompt_logprobs=1, skip_reading_prefix_cache=False).skip_reading_prefix_cache


def test_coarse_hashes_are_read_from_the_fine_ones() -> None:
    fine = [BlockHash(bytes([i])) for i in range(5)]
    coarse = kv_cache_utils.BlockHashListWithBlockSize(fine, 4, 8)
    assert list(coarse) == coarse[:] == [b"\x00\x01", b"\x02\x03"]
    fine.append(BlockHash(b"\x05"))
    assert coarse[2] == coarse[-1] == b"\x04\x05"
    with pytest.raises(IndexError):
        coarse[3]
    with pytest.raises(TypeError, match="Invalid index type"):
        coarse["0"]  # type: ignore[call-overload]
    with pytest.raises(AssertionError):
        kv_cache_utils.BlockHashListWithBlockSize(fine, 4, 6)


def test_a_collector_follows_the_managers_blocks() -> None:
    collector = KVCacheMetricsCollector(sample_rate=1.0)
    pool = BlockPool(3, enable_caching=True, hash_block_size=4, metrics_collector=collector)
    one, two = pool.get_new_blocks(2)
    pool.touch([two])
    assert sorted(collector.block_metrics) == [1, 2]
    assert len(collector.block_metrics[two.block_id].access_history) == 1
    pool.evict_blocks({one.block_id})
    assert len(collector.drain_events()) == 1
    with pytest.raises(AssertionError):
        KVCacheMetricsCollector(sample_rate=0)
