"""Statistics, new block ids, common prefixes, usage, reset, eviction, live tables, kinds, retention."""

import pytest

from kvref.blocks import KVCacheBlock
from kvref.errors import ForeignHitError
from kvref.kv_cache_spec import HiddenStateCacheSpec, MLAAttentionSpec
from kvref.stats import PrefixCacheStats
from spec.units import RequestId
from tests.reference.driving import Caller, Half, by_id, chunked, cross, fresh, full, mamba, sink, sliding

# Statistics


def test_every_lookup_counts_once_a_retry_too() -> None:
    # STATS-1, Q-27
    caller = Caller(full(4), blocks=20, log_stats=True)
    tokens = fresh(9)
    caller.admit(caller.request("a", tokens))
    b = caller.request("b", tokens)
    caller.lookup(b)
    caller.lookup(b)
    assert caller.manager.make_prefix_cache_stats() == PrefixCacheStats(requests=3, queries=27, hits=16)
    assert caller.manager.make_prefix_cache_stats() == PrefixCacheStats()


def test_preempted_requests_count_apart() -> None:
    # STATS-1
    caller = Caller(full(4), blocks=20, log_stats=True)
    a = caller.request("a", 9)
    caller.admit(a)
    caller.preempt(a)
    caller.manager.make_prefix_cache_stats()
    caller.admit(a)
    expected = PrefixCacheStats(preempted_requests=1, preempted_queries=9, preempted_hits=8)
    assert caller.manager.make_prefix_cache_stats() == expected


def test_who_does_not_read_the_cache_is_not_counted() -> None:
    # HIT-8, REQ-5
    caller = Caller(full(4), blocks=20, log_stats=True)
    tokens = fresh(9)
    a = caller.request("a", tokens, skip_reading_prefix_cache=True)
    caller.admit(a)
    assert caller.lookup(a) == (([],), 0)
    assert caller.manager.make_prefix_cache_stats() == PrefixCacheStats()
    # It writes to the cache all the same.
    assert caller.lookup(caller.request("b", tokens))[1] == 8


def test_a_reset_is_told_in_the_statistics_if_it_succeeded() -> None:
    # RESET-2
    caller = Caller(full(4), blocks=20, log_stats=True)
    a = caller.request("a", 9)
    caller.admit(a)
    assert not caller.manager.reset_prefix_cache()
    stats = caller.manager.make_prefix_cache_stats()
    assert stats is not None
    assert not stats.reset
    caller.free(a)
    assert caller.manager.reset_prefix_cache()
    assert caller.manager.make_prefix_cache_stats() == PrefixCacheStats(reset=True)


def test_without_log_stats_there_are_none() -> None:
    # STATS-2
    caller = Caller(full(4), blocks=20)
    caller.admit(caller.request("a", 9))
    assert caller.manager.make_prefix_cache_stats() is None


class Diary:
    """Writes down what it is told of blocks, and how many users they have then."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int]] = []

    def on_block_allocated(self, block: KVCacheBlock) -> None:
        self.lines.append(("allocated", block.block_id, block.ref_cnt))

    def on_block_accessed(self, block: KVCacheBlock) -> None:
        self.lines.append(("accessed", block.block_id, block.ref_cnt))

    def on_block_evicted(self, block: KVCacheBlock) -> None:
        self.lines.append(("evicted", block.block_id, block.ref_cnt))

    def reset(self) -> None:
        self.lines.append(("reset", -1, 0))


def test_a_collector_is_told_of_the_life_of_blocks() -> None:
    # METRIC-1
    diary = Diary()
    caller = Caller(full(4), blocks=4, metrics_collector=diary)
    tokens = fresh(5)
    a = caller.request("a", tokens)
    caller.admit(a)
    assert diary.lines == [("evicted", 1, 0), ("allocated", 1, 1), ("evicted", 2, 0), ("allocated", 2, 1)]
    diary.lines.clear()
    caller.admit(caller.request("b", tokens))
    assert diary.lines == [("accessed", 1, 2), ("evicted", 3, 0), ("allocated", 3, 1)]


# New block ids


def test_new_block_ids_are_told_once_group_after_group() -> None:
    # IDS-1
    caller = Caller(full(4), full(8), blocks=20)
    a = caller.request("a", 9)
    caller.admit(a)
    caller.free(a)
    assert caller.manager.take_new_block_ids() == [1, 2, 3, 4, 5]
    assert caller.manager.take_new_block_ids() == []


def test_only_full_attention_and_mla_themselves_have_their_blocks_zeroed() -> None:
    # MGR-3, MAMBA-10, REG-1
    latent = MLAAttentionSpec(4, num_kv_heads=1, head_size=8, dtype=Half())
    hidden = HiddenStateCacheSpec(4, num_kv_heads=1, head_size=8, dtype=Half())
    told = {}
    for spec in (full(4), latent, hidden, sink(4, 4), sliding(4, 8), chunked(4, 8), mamba(4)):
        caller = Caller(spec, blocks=20, caching=False)
        caller.admit(caller.request("a", 5))
        told[type(spec).__name__] = bool(caller.manager.take_new_block_ids())
    assert {name for name, zeroed in told.items() if zeroed} == {"FullAttentionSpec", "MLAAttentionSpec"}


def test_hits_are_not_zeroed_but_external_blocks_are() -> None:
    # IDS-1, BIND-8
    caller = Caller(full(4), blocks=20)
    tokens = fresh(5)
    caller.admit(caller.request("a", tokens))
    caller.manager.take_new_block_ids()
    b = caller.request("b", tokens + fresh(8))
    caller.admit(b, num_external_computed_tokens=4)
    assert caller.table(b) == [1, 3, 4, 5]
    assert caller.manager.take_new_block_ids() == [3, 4, 5]


# Common prefixes


def test_a_common_prefix_is_held_by_every_request_with_a_table() -> None:
    # COMMON-1, COMMON-3
    caller = Caller(full(4), sliding(4, 100), blocks=40)
    tokens = fresh(12)
    a, b = caller.request("a", tokens + fresh(2)), caller.request("b", tokens + fresh(3))
    caller.admit(a)
    assert caller.manager.get_num_common_prefix_blocks(a.request_id) == [4, 0]
    caller.admit(b)
    assert caller.manager.get_num_common_prefix_blocks(a.request_id) == [3, 0]
    caller.admit(caller.request("c", 4))
    assert caller.manager.get_num_common_prefix_blocks(a.request_id) == [0, 0]


def test_asking_for_an_unknown_request_changes_nothing() -> None:
    # Observed: an empty table appears, which counts from then on.
    caller = Caller(full(4), blocks=20)
    a = caller.request("a", 12)
    caller.admit(a)
    before = caller.state()
    assert caller.manager.get_num_common_prefix_blocks(RequestId("nope")) == [0]
    assert caller.state() == before
    assert caller.manager.get_num_common_prefix_blocks(a.request_id) == [3]


def test_without_caching_nothing_is_common() -> None:
    # COMMON-2, COORD-3
    caller = Caller(full(4), blocks=20, caching=False)
    a = caller.request("a", 12)
    assert caller.admit(a)[:2] == (([],), 0)
    assert caller.manager.get_num_common_prefix_blocks(a.request_id) == [0]


# Usage, reset, eviction


def test_usage_is_the_fraction_of_blocks_that_are_held() -> None:
    # USAGE-1: content alone does not count.
    caller = Caller(full(4), blocks=11)
    assert caller.manager.usage == 0.0
    a = caller.request("a", 12)
    caller.admit(a)
    assert caller.manager.usage == pytest.approx(0.3)
    caller.free(a)
    assert caller.manager.usage == 0.0
    assert Caller(full(4), blocks=1).manager.usage == 0.0


def test_a_reset_forgets_content_and_keeps_the_order_of_the_queue() -> None:
    # RESET-1
    caller = Caller(full(4), blocks=6)
    tokens = fresh(13)
    a = caller.request("a", tokens)
    caller.admit(a)
    before = caller.state()
    assert not caller.manager.reset_prefix_cache()
    assert caller.state() == before
    caller.free(a)
    assert caller.manager.reset_prefix_cache()
    assert caller.queue == [5, 4, 3, 2, 1]
    assert caller.manager.pool.prefix_map == {}
    assert caller.lookup(caller.request("b", tokens)) == (([],), 0)


def test_an_evicted_block_that_is_held_is_not_cached_again() -> None:
    # Q-19, MGR-5: 9 tokens, all blocks evicted, 3 more tokens.
    caller = Caller(full(4), blocks=11)
    a = caller.request("a", 9)
    caller.admit(a)
    caller.manager.evict_blocks([1, 2, 3])
    assert caller.table(a) == [1, 2, 3]
    a.append_output_token_ids(fresh(3))
    caller.step(a, 3)
    assert caller.cached(a) == {2: 3}
    assert caller.users(1, 2, 3) == [1, 1, 1]


def test_a_free_block_that_is_evicted_stays_where_it_is_in_the_queue() -> None:
    # POOL-8
    caller = Caller(full(4), blocks=6)
    a = caller.request("a", 12)
    caller.admit(a)
    caller.free(a)
    caller.manager.evict_blocks([2])
    assert caller.queue == [4, 5, 3, 2, 1]


# Freeing, forgetting, live tables


def test_freeing_twice_or_never_admitted_is_nothing() -> None:
    # FREE-4
    caller = Caller(full(4), sliding(4, 8), blocks=20)
    a = caller.request("a", 9)
    before = caller.state()
    caller.free(a)
    assert caller.state() == before
    caller.admit(a)
    caller.free(a)
    after = caller.state()
    caller.free(a)
    assert caller.state() == after


def test_forgetting_for_an_unknown_request_is_nothing() -> None:
    # Observed: empty tables appear.
    caller = Caller(full(4), sliding(4, 8), blocks=20)
    before = caller.state()
    caller.manager.remove_skipped_blocks(RequestId("zz"), 100)
    assert caller.state() == before


def test_tables_are_live_and_results_are_not() -> None:
    # ALLOC-17
    caller = Caller(full(4), blocks=20)
    a = caller.request("a", 12)
    taken = caller.manager.allocate_slots(a, 4)
    assert taken is not None
    live = caller.manager.get_blocks(a.request_id)
    caller.manager.allocate_slots(a, 12)
    assert live.get_block_ids() == ([1, 2, 3],)
    assert taken.get_block_ids() == ([1],)


def test_nothing_is_one_constant_result() -> None:
    # DATA-7, ALLOC-13, COORD-2
    caller = Caller(full(4), blocks=20)
    empty = caller.manager.empty_kv_cache_blocks
    a = caller.request("a", 5)
    before = caller.state()
    assert caller.manager.get_blocks(a.request_id) is empty
    assert caller.state() == before
    assert caller.manager.get_computed_blocks(a)[0] is empty
    caller.admit(a)
    assert caller.manager.allocate_slots(a, 1) is empty


def test_a_lookup_changes_nothing() -> None:
    # HIT-9
    caller = Caller(full(4), mamba(4), sliding(4, 8), blocks=40)
    tokens = fresh(20)
    a = caller.request("a", tokens)
    caller.admit(a)
    caller.free(a)
    before = caller.state()
    caller.lookup(caller.request("b", tokens))
    assert caller.state() == before


def test_the_manager_never_writes_to_a_request() -> None:
    # REQ-2, ALLOC-16
    caller = Caller(full(4), blocks=20)
    a = caller.request("a", 12)
    before = (list(a.all_token_ids), list(a.block_hashes), a.num_computed_tokens, a.num_preemptions)
    found, length = caller.manager.get_computed_blocks(a)
    caller.manager.allocate_slots(a, 12, length, found)
    caller.manager.cache_blocks(a, 12)
    caller.free(a)
    assert (list(a.all_token_ids), list(a.block_hashes), a.num_computed_tokens, a.num_preemptions) == before


# Kinds


def test_an_encoders_tokens_get_blocks_at_admission_alone() -> None:
    # CROSS-1, CROSS-4, PROTO-9
    caller = Caller(full(4), cross(4), blocks=20, caching=False)
    a = caller.request("a", 13)
    assert caller.admit(a, 9, num_encoder_tokens=10)[2] == ([1, 2, 3], [4, 5, 6])
    assert caller.step(a, 4) == ([7], [])


def test_whole_chunks_are_hit_in_an_empty_pool() -> None:
    # CHUNK-3, Q-8
    caller = Caller(chunked(2, 4), blocks=20)
    a = caller.request("a", 9)
    assert caller.admit(a)[:2] == (([0, 0, 0, 0],), 8)
    assert caller.table(a) == [0, 0, 0, 0, 1]


def test_states_of_this_step_are_blocked_until_the_next() -> None:
    # MAMBA-3, MAMBA-4, Q-29: freeing and evicting does not lift it.
    caller = Caller(mamba(4), blocks=20)
    tokens = fresh(9)
    a, b = caller.request("a", tokens), caller.request("b", tokens)
    caller.admit(a)
    caller.free(a)
    assert caller.admit(b) == (([0, 2],), 8, None)
    caller.manager.evict_blocks([1, 2])
    assert len(caller.manager.groups[0].cached_this_step) == 2
    caller.manager.new_step_starts()
    assert caller.manager.groups[0].cached_this_step == set()


def test_context_parallelism_widens_a_block() -> None:
    # DCP-1
    caller = Caller(full(4), blocks=20, dcp_world_size=2, fine=8, scheduler=8)
    tokens = fresh(17)
    assert caller.admit(caller.request("a", tokens))[2] == ([1, 2, 3],)
    assert caller.lookup(caller.request("b", tokens)) == (([1, 2],), 16)


def test_eagle_alone_takes_no_slots() -> None:
    # EAGLE-5: lookahead is what the caller asks for.
    caller = Caller(full(4), blocks=20, eagle=True)
    assert caller.admit(caller.request("a", 4))[2] == ([1],)
    assert caller.admit(caller.request("b", 4), num_lookahead_tokens=1)[2] == ([2, 3],)


# Retention


@pytest.mark.parametrize(("interval", "kept"), [(64, {3, 7, 11, 14, 15}), (0, {14}), (None, set(range(16)))])
def test_retention_thins_out_what_a_window_caches(interval: int | None, kept: set[int]) -> None:
    # RETAIN-4
    caller = Caller(sliding(16, 16), blocks=20, retention_interval=interval)
    a = caller.request("a", 256)
    caller.admit(a)
    assert set(caller.cached(a)) == kept


def test_a_preempted_request_comes_back_to_its_prompts_boundary() -> None:
    # Q-38, RETAIN-5: sliding 4 W 4, interval 0, a prompt of 9, 20 outputs.
    caller = Caller(sliding(4, 4), blocks=20, retention_interval=0)
    a = caller.request("a", 9)
    caller.admit(a)
    for _ in range(20):
        a.append_output_token_ids(fresh(1))
        caller.step(a, 1)
    caller.preempt(a)
    assert set(caller.cached(a)) == {1}
    assert caller.lookup(a)[1] == 8


def test_a_lone_window_is_thinned_out_by_the_schedulers_block_size() -> None:
    #
    caller = Caller(sliding(4, 4), blocks=20, scheduler=8)
    tokens = fresh(24)
    a = caller.request("a", tokens)
    caller.admit(a)
    assert set(caller.cached(a)) == {1, 3, 5}
    assert [caller.lookup(caller.request(str(n), tokens[:n]))[1] for n in (21, 13)] == [16, 8]


def test_what_a_window_no_longer_reads_of_a_hot_prefix_ages() -> None:
    # blocks in front of the window are hit as nulls, so they stay in the queue.
    caller = Caller(sliding(2, 4), blocks=12)
    tokens = fresh(9)
    a = caller.request("a", tokens)
    caller.admit(a)
    caller.free(a)
    caller.admit(caller.request("b", tokens))
    assert {1, 2} <= set(caller.queue)
    assert not {3, 4} & set(caller.queue)


def test_a_hit_told_shorter_than_its_blocks_is_a_mistake() -> None:
    # ALLOC-18: vLLM trusts the caller, and shifts every count; here it is named, and nothing changes.
    caller = Caller(full(4), blocks=20)
    tokens = fresh(13)
    a = caller.request("a", tokens)
    caller.admit(a)
    b = caller.request("b", tokens)
    hits, length = caller.manager.get_computed_blocks(b)
    assert length == 12
    with pytest.raises(ForeignHitError, match="12 tokens, num_new_computed_tokens says 4"):
        caller.manager.allocate_slots(b, 1, 4, hits)
    assert caller.manager.get_blocks(b.request_id) is caller.manager.empty_kv_cache_blocks


def test_a_stale_hit_is_a_mistake() -> None:
    # PROTO-2: a block that was evicted between lookup and allocation holds the content no more.
    caller = Caller(full(4), blocks=20)
    tokens = fresh(13)
    a = caller.request("a", tokens)
    caller.admit(a)
    b = caller.request("b", tokens)
    hits, length = caller.manager.get_computed_blocks(b)
    caller.manager.evict_blocks({2})
    with pytest.raises(ForeignHitError, match="block 2 does not hold block 1"):
        caller.manager.allocate_slots(b, 1, length, hits)


def test_adding_results_joins_them_group_by_group() -> None:
    # DATA-4
    caller = Caller(full(4), sliding(4, 8), blocks=20)
    both = by_id(caller, [1], [2]) + by_id(caller, [3], [])
    assert both.get_block_ids() == ([1, 3], [2])
