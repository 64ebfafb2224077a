"""What a legal scheduler does not do is refused by name, with its numbers, and changes nothing.

ALLOC-1, ALLOC-15, BIND-2, BIND-3, BIND-5, CACHE-2, POOL-8, POOL-9, ERR-6, ERR-7, ERR-8, ERR-13, ERR-19, DATA-8.
"""

import pytest

from kvref.blocks import KVCacheBlocks
from kvref.errors import (
    CallerError,
    ForeignHitError,
    NegativeCountError,
    NothingToAllocateError,
    UnhashedTokensError,
    UnknownBlockError,
)
from kvref.request import Request
from spec.units import Tokens
from tests.reference.driving import Caller, by_id, fresh, full, mamba, sliding


@pytest.fixture
def caller() -> Caller:
    return Caller(full(4), sliding(4, 8), blocks=30, log_stats=True, enable_kv_cache_events=True)


@pytest.fixture
def running(caller: Caller) -> Request:
    request = caller.request("running", 12)
    caller.admit(request)
    return request


def test_an_allocation_of_nothing(caller: Caller, running: Request) -> None:
    caller.refuses(
        NothingToAllocateError,
        "num_new_tokens must be greater than 0",
        caller.manager.allocate_slots,
        running,
        0,
    )


@pytest.mark.parametrize(
    "counts",
    [(-1,), (1, -4), (1, 0, None, -1), (1, 0, None, 0, -1), (1, 0, None, 0, 0, False, -1)],
    ids=["new", "hit", "lookahead", "external", "encoder"],
)
def test_a_negative_count(caller: Caller, counts: tuple[int | None, ...]) -> None:
    request = caller.request("new", 12)
    caller.refuses(NegativeCountError, "negative", caller.manager.allocate_slots, request, *counts)


def test_a_negative_hit_behind_computed_tokens(caller: Caller) -> None:
    request = caller.request("new", 12)
    request.num_computed_tokens = Tokens(4)
    caller.refuses(NegativeCountError, "negative", caller.manager.allocate_slots, request, 1, -1)


def test_hits_for_a_request_that_holds_a_table(caller: Caller, running: Request) -> None:
    hits = by_id(caller, [1], [4])
    caller.refuses(ForeignHitError, "holds a block table", caller.manager.allocate_slots, running, 1, 4, hits)


def test_external_tokens_for_a_request_that_holds_a_table(caller: Caller, running: Request) -> None:
    caller.refuses(
        ForeignHitError,
        "external",
        caller.manager.allocate_slots,
        running,
        1,
        0,
        None,
        0,
        4,
    )


def test_hits_for_another_number_of_groups(caller: Caller) -> None:
    request = caller.request("new", 12)
    hits = KVCacheBlocks(([],))
    caller.refuses(ForeignHitError, "1 groups", caller.manager.allocate_slots, request, 1, 0, hits)


def test_hits_with_caching_off() -> None:
    caller = Caller(full(4), blocks=10, caching=False)
    request = caller.request("new", 12)
    hits = by_id(caller, [1])
    caller.refuses(
        ForeignHitError,
        "should be empty when prefix caching is disabled",
        caller.manager.allocate_slots,
        request,
        8,
        4,
        hits,
    )


@pytest.mark.parametrize("spec", [full(4), sliding(4, 8), mamba(4)], ids=["full", "sliding", "mamba"])
def test_a_request_without_hashes_in_a_manager_that_caches(spec: object) -> None:
    # The observed sliding lookup raises IndexError, the full one asserts when it caches.
    assert isinstance(spec, type(full(4)) | type(sliding(4, 8)) | type(mamba(4)))
    caller = Caller(spec, blocks=10)
    request = caller.request("new", 12, block_hasher=None)
    assert caller.lookup(request) == (([],), 0)
    caller.refuses(UnhashedTokensError, "only 0 are hashed", caller.manager.allocate_slots, request, 12)


def test_caching_more_tokens_than_are_hashed(caller: Caller, running: Request) -> None:
    caller.refuses(UnhashedTokensError, "12 are hashed", caller.manager.cache_blocks, running, 16)


def test_caching_more_tokens_than_have_slots(caller: Caller) -> None:
    request = caller.request("new", 12)
    caller.admit(request, 4)
    caller.refuses(UnhashedTokensError, "holds 1 blocks", caller.manager.cache_blocks, request, 12)


def test_caching_a_negative_number_of_tokens(caller: Caller, running: Request) -> None:
    caller.refuses(NegativeCountError, "negative", caller.manager.cache_blocks, running, -1)


@pytest.mark.parametrize("block", [30, 1000, -1])
def test_evicting_a_block_that_does_not_exist(caller: Caller, running: Request, block: int) -> None:
    assert caller.table(running) == [1, 2, 3]
    caller.refuses(UnknownBlockError, "Invalid block_id", caller.manager.evict_blocks, [1, block])


def test_every_mistake_is_a_value_error_too() -> None:
    for mistake in (
        NothingToAllocateError,
        ForeignHitError,
        UnhashedTokensError,
        UnknownBlockError,
        NegativeCountError,
    ):
        assert issubclass(mistake, CallerError)
        assert issubclass(mistake, ValueError)


def test_after_a_mistake_the_manager_goes_on(caller: Caller) -> None:
    tokens = fresh(12)
    request = caller.request("new", tokens)
    caller.refuses(NothingToAllocateError, "0", caller.manager.allocate_slots, request, 0)
    assert caller.admit(request)[2] == ([1, 2, 3], [4, 5, 6])
