"""How the optimized manager is used, and what it does without a look at any group.

Everything that it decides is held against the reference in `test_against_the_reference.py`.
"""

import gc
from typing import Any

import pytest

from kvref.blocks import KVCacheBlocks
from kvref.errors import ForeignHitError
from kvref.optimized.tables import Tables
from spec.units import RequestId, Tokens
from tests.optimized.forms import FORMS, PURE, session_class
from tests.reference.driving import Caller, fresh, full, mamba, sliding
from tests.reference.test_queries import Diary


@pytest.fixture(params=FORMS)
def manager(request: pytest.FixtureRequest) -> Any:
    """The manager's class, in each form."""
    return session_class(request.param).manager_class


def test_requests_share_a_prefix(manager: Any) -> None:
    caller = Caller(full(4), blocks=11, manager=manager)
    tokens = fresh(14)
    a, b = caller.request("a", tokens), caller.request("b", tokens[:12] + fresh(1))
    assert caller.admit(a) == (([],), 0, ([1, 2, 3, 4],))
    assert caller.admit(b) == (([1, 2, 3],), 12, ([5],))
    assert caller.manager.usage == 0.5
    caller.free(a)
    caller.free(b)
    c = caller.request("c", 40)
    assert caller.admit(c)[2] == ([6, 7, 8, 9, 10, 4, 5, 3, 2, 1],)


@pytest.mark.parametrize(
    ("specs", "busy"),
    [
        ((full(4),), [12, 13, 16, 17]),
        ((full(4), sliding(4, 8)), [12, 13, 16, 17]),
        ((full(4), sliding(4, 7)), [11, 12, 13, 15, 16, 17]),
        ((full(8), full(4)), [13, 16, 17]),
        ((full(4), mamba(4, 1)), [11, 12, 13, 15, 16, 17]),
    ],
    ids=["full", "window", "odd window", "two sizes", "recurrent"],
)
def test_most_decode_steps_look_at_no_group(
    specs: tuple[Any, ...], busy: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps with something to take, release or cache are the busy ones; the others end at once."""
    caller = Caller(*specs, blocks=60, manager=session_class(PURE).manager_class)
    a = caller.request("a", fresh(11))
    caller.admit(a, 10)
    steps = []
    allocator: Any = caller.manager._allocator  # type: ignore[attr-defined]
    true_step = type(allocator).step

    def step(self: Any, request: Any, tables: Tables, *others: Any) -> Any:
        steps.append(request.num_computed_tokens + 1)
        return true_step(self, request, tables, *others)

    monkeypatch.setattr(type(allocator), "step", step)
    for _ in range(8):
        caller.step(a, 1)
        a.append_output_token_ids(fresh(1))
    assert [at for at in steps if at not in busy] == []
    assert len(steps) < 8


def test_a_hit_that_went_stale_is_told(manager: Any) -> None:
    # ALLOC-18, PROTO-2
    caller = Caller(full(4), blocks=20, manager=manager)
    tokens = fresh(13)
    caller.admit(caller.request("a", tokens))
    b = caller.request("b", tokens)
    hits, length = caller.manager.get_computed_blocks(b)
    caller.manager.evict_blocks([9])
    caller.manager.evict_blocks([2])
    with pytest.raises(ForeignHitError, match="block 2 does not hold block 1"):
        caller.manager.allocate_slots(b, 1, length, hits)
    other = caller.request("c", fresh(13))
    hits, length = caller.manager.get_computed_blocks(b)
    with pytest.raises(ForeignHitError, match="block 1 does not hold block 0"):
        caller.manager.allocate_slots(other, 1, length, hits)


def test_a_hit_survives_the_eviction_of_something_else(manager: Any) -> None:
    caller = Caller(full(4), sliding(4, 8), blocks=20, manager=manager)
    tokens = fresh(13)
    a = caller.request("a", tokens)
    caller.admit(a)
    b = caller.request("b", tokens)
    hits, length = caller.manager.get_computed_blocks(b)
    caller.manager.evict_blocks([caller.table(a, 1)[0]])
    assert caller.manager.allocate_slots(b, 1, length, hits) is not None


def test_a_window_keeps_what_lies_before_a_null_in_the_midst_of_its_hit(manager: Any) -> None:
    # SKIP-2, FREE-1: no lookup returns such a hit, but a caller may leave a block out of one.
    caller = Caller(sliding(1, 6), blocks=40, manager=manager)
    tokens = fresh(12)
    a, b = caller.request("a", tokens[:10]), caller.request("b", tokens)
    caller.admit(a)
    caller.free(a)
    hits, length = caller.manager.get_computed_blocks(b)
    null, *_, last_but_one, last = hits.blocks[0]
    row = [null if block is last_but_one else block for block in hits.blocks[0]]
    caller.manager.allocate_slots(b, 1, length, KVCacheBlocks((row,)))
    assert caller.table(b) == [0, 0, 0, 0, 0, 6, 7, 8, 0, last.block_id, 11]
    caller.manager.remove_skipped_blocks(b.request_id, Tokens(64))
    assert caller.table(b) == [0, 0, 0, 0, 0, 6, 7, 8, 0, 0, 0]
    caller.free(b)
    assert caller.manager.usage == 0


def test_a_hit_needs_the_first_block_of_each_of_three_groups_with_one_spec(manager: Any) -> None:
    # HIT-2
    caller = Caller(full(1), full(1), full(1), blocks=40, manager=manager)
    tokens = fresh(4)
    a, b = caller.request("a", tokens), caller.request("b", tokens[:3] + fresh(1))
    caller.admit(a)
    assert caller.lookup(b)[1] == 3
    caller.manager.evict_blocks([caller.table(a, 1)[0]])
    assert caller.lookup(b) == (([], [], []), 0)


def test_tables_are_live_and_nothing_is_one_constant(manager: Any) -> None:
    # ALLOC-17, DATA-7
    caller = Caller(full(4), blocks=20, manager=manager)
    a = caller.request("a", 12)
    empty = caller.manager.empty_kv_cache_blocks
    assert caller.manager.get_blocks(a.request_id) is empty
    caller.manager.allocate_slots(a, 4)
    live = caller.manager.get_blocks(a.request_id)
    a.num_computed_tokens = Tokens(4)
    caller.manager.allocate_slots(a, 8)
    assert live.get_block_ids() == ([1, 2, 3],)
    caller.free(a)
    assert live.get_block_ids() == ([1, 2, 3],)
    assert caller.manager.get_block_ids(RequestId("a")) == ([],)
    assert caller.manager.create_kv_cache_blocks(((),)) is empty
    assert caller.manager.create_kv_cache_blocks(live.blocks).get_block_ids() == ([1, 2, 3],)


def test_a_large_pool_is_no_burden_to_the_garbage_collector(manager: Any) -> None:
    gc.collect()
    before = len(gc.get_objects())
    caller = Caller(full(4), sliding(4, 8), blocks=1_000_000, manager=manager)
    caller.admit(caller.request("a", 900))
    assert len(gc.get_objects()) - before < 1500


@pytest.mark.parametrize("caching", [True, False])
def test_a_collector_hears_of_evictions_only_where_something_is_cached(manager: Any, caching: bool) -> None:
    # METRIC-1
    told = Diary()
    caller = Caller(full(4), blocks=4, manager=manager, caching=caching, metrics_collector=told)
    caller.admit(caller.request("a", 5))
    assert sum(line[0] == "evicted" for line in told.lines) == (2 if caching else 0)


def test_a_block_has_no_user_when_its_eviction_is_told_and_one_when_its_allocation_is(
    manager: Any,
) -> None:
    # METRIC-1: as vLLM 0.23.0 tells it, block by block.
    told = Diary()
    caller = Caller(full(4), blocks=4, manager=manager, metrics_collector=told)
    first = caller.request("a", 9)
    caller.admit(first)
    expected = [
        (what, block, users) for block in (1, 2, 3) for what, users in (("evicted", 0), ("allocated", 1))
    ]
    assert told.lines == expected
    caller.free(first)
    told.lines.clear()
    caller.admit(caller.request("b", 5))
    assert [users for what, _, users in told.lines if what == "evicted"] == [0, 0]
    assert [block for _, block, _ in told.lines] == [3, 3, 2, 2]
