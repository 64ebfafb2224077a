"""What a caller gets wrong is told with the reference's names and words, and block objects say the same.

The fuzzer compares the names of mistakes only, and reads ids.
"""

import re
from typing import Any

import pytest

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.errors import CallerError
from kvref.reference import KVCacheManager
from spec.units import BlockId, RequestId
from tests.optimized.forms import FORMS, session_class
from tests.reference.driving import Caller, full, mamba, sliding
from tests.reference.test_queries import Diary

PROMPT = list(range(1, 22))
BLOCKS = 30


def hits(manager: Any, *rows: tuple[int, ...]) -> KVCacheBlocks:
    """A result that names these blocks of the manager's pool, or strangers to it."""
    pool = manager.pool

    def block(number: int) -> KVCacheBlock:
        if number >= BLOCKS:
            return KVCacheBlock(BlockId(number))
        own: KVCacheBlock = pool.blocks[number] if hasattr(pool, "blocks") else pool.block(number)
        return own

    return KVCacheBlocks(tuple([block(number) for number in row] for row in rows))


MISTAKES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "nothing": ("new", (0,)),
    "nothing, though hit": ("new", (0, 4)),
    "a negative count": ("new", (1, 0, None, -1)),
    "negative reserved blocks": ("new", (1, 0, None, 0, 0, False, 0, False, -1)),
    "hits for another number of groups": ("new", (1, 0, ((),))),
    "hits for who holds a table": ("running", (1, 4, ((1,), (7,)))),
    "external tokens for who holds a table": ("running", (1, 0, None, 0, 4)),
    "a hit that is shorter than told": ("new", (1, 8, ((1,), (7,)))),
    "a group without hits": ("new", (1, 4, ((1,), ()))),
    "blocks in the wrong order": ("new", (1, 8, ((2, 1), (7, 8)))),
    "blocks of another group": ("new", (1, 8, ((1, 2), (1, 2)))),
    "blocks outside the pool": ("new", (1, 4, ((99,), (7,)))),
    "a request without hashes": ("unhashed", (12,)),
    "hits for a request without hashes": ("unhashed", (12, 4, ((1,), (7,)))),
}


def told(manager: Any, request: str, arguments: tuple[Any, ...]) -> str:
    caller = Caller(full(4), sliding(4, 8), blocks=BLOCKS, manager=manager)
    running = caller.request("running", PROMPT)
    caller.admit(running)
    requests = {
        "running": running,
        "new": caller.request("new", PROMPT),
        "unhashed": caller.request("unhashed", PROMPT, block_hasher=None),
    }
    new, *others = arguments
    if len(others) > 1 and others[1] is not None:
        others[1] = hits(caller.manager, *others[1])
    before = caller.manager.usage, caller.manager.get_block_ids(RequestId("running"))
    with pytest.raises(CallerError) as mistake:
        caller.manager.allocate_slots(requests[request], new, *others)
    assert (caller.manager.usage, caller.manager.get_block_ids(RequestId("running"))) == before
    return f"{type(mistake.value).__name__}: {mistake.value}"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_the_same_words(form: str, mistake: str) -> None:
    manager = session_class(form).manager_class
    assert told(manager, *MISTAKES[mistake]) == told(KVCacheManager, *MISTAKES[mistake])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tokens", [-1, 16, 24, 40])
def test_so_is_caching_what_is_not_there(form: str, tokens: int) -> None:
    def words(manager: Any) -> str:
        caller = Caller(full(4), sliding(4, 8), blocks=BLOCKS, manager=manager)
        request = caller.request("a", PROMPT)
        caller.admit(request, 8)
        with pytest.raises(CallerError) as mistake:
            caller.manager.cache_blocks(request, tokens)
        return f"{type(mistake.value).__name__}: {mistake.value}"

    assert words(session_class(form).manager_class) == words(KVCacheManager)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("new", [17, 24])
@pytest.mark.parametrize("begun", [0, 12])
def test_a_request_that_is_longer_than_the_model_is_cached_as_far_as_it_has_slots(
    form: str, new: int, begun: int
) -> None:
    """No legal scheduler asks for it, and vLLM 0.23.0 fails an assertion behind the allocation."""

    def told(manager: Any, **options: Any) -> object:
        caller = Caller(full(4), mamba(4, mode="align"), blocks=BLOCKS, model=16, manager=manager)
        request = caller.request("a", list(range(24)), **options)
        if options:
            with pytest.raises(CallerError) as mistake:
                caller.manager.allocate_slots(request, new - begun, begun)
            return str(mistake.value)
        if begun:
            caller.admit(request, begun)
        caller.step(request, new - begun)
        other = caller.request("b", list(range(24)))
        return caller.manager.get_block_ids(RequestId("a")), caller.lookup(other)

    optimized = session_class(form).manager_class
    assert told(optimized) == told(KVCacheManager)
    assert told(optimized, block_hasher=None) == told(KVCacheManager, block_hasher=None)
    assert "16 tokens are to be cached" in str(told(optimized, block_hasher=None))


@pytest.mark.parametrize("form", FORMS)
def test_evicting_a_stranger_is_told_in_the_same_words(form: str) -> None:
    for block in (-1, 30):
        words = []
        for manager in (session_class(form).manager_class, KVCacheManager):
            caller = Caller(full(4), blocks=BLOCKS, manager=manager)
            with pytest.raises(CallerError, match=re.escape("Invalid block_id")) as mistake:
                caller.manager.evict_blocks([1, block])
            words.append(str(mistake.value))
        assert words[0] == words[1]


@pytest.mark.parametrize("form", FORMS)
def test_hits_with_caching_off_are_told_in_the_same_words(form: str) -> None:
    words = []
    for manager in (session_class(form).manager_class, KVCacheManager):
        caller = Caller(full(4), blocks=BLOCKS, caching=False, manager=manager)
        with pytest.raises(CallerError) as mistake:
            caller.manager.allocate_slots(caller.request("a", 9), 8, 4, hits(caller.manager, (1,)))
        words.append(str(mistake.value))
    assert words[0] == words[1]


def shown(blocks: Any) -> object:
    """What the API tells of blocks."""
    return (
        [[(b.block_id, b.ref_cnt, b.block_hash, b.is_null) for b in group] for group in blocks.blocks],
        blocks.get_block_ids(),
        blocks.get_block_ids(allow_none=True),
        blocks.get_unhashed_block_ids_all_groups(),
        (blocks + blocks).get_block_ids(),
        blocks.new_empty().get_block_ids(),
    )


@pytest.mark.parametrize("form", FORMS)
def test_blocks_and_collectors_are_told_the_same(form: str) -> None:
    # DATA-1, DATA-4, DATA-5, DATA-6, METRIC-1
    seen = []
    for manager in (session_class(form).manager_class, KVCacheManager):
        diary = Diary()
        caller = Caller(
            full(4), sliding(4, 8), mamba(4), blocks=BLOCKS, manager=manager, metrics_collector=diary
        )
        a = caller.request("a", PROMPT)
        caller.admit(a)
        caller.manager.new_step_starts()
        b = caller.request("b", PROMPT)
        found, length = caller.manager.get_computed_blocks(b)
        told_of = [shown(found)]
        taken = caller.manager.allocate_slots(b, len(PROMPT) - length, length, found)
        told_of += [shown(taken), shown(found), shown(caller.manager.get_blocks(RequestId("a")))]
        caller.manager.evict_blocks([1])
        caller.free(a)
        told_of.append(shown(found))
        caller.free(b)
        caller.manager.reset_prefix_cache()
        seen.append((told_of, diary.lines))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("told_hit", [0, 4, 8])
def test_a_hit_length_without_blocks_counts_as_computed(form: str, told_hit: int) -> None:
    """No legal scheduler says so; both managers take it the same way."""
    seen = []
    for manager in (session_class(form).manager_class, KVCacheManager):
        caller = Caller(full(4), sliding(4, 8), blocks=BLOCKS, manager=manager)
        a, b = caller.request("a", PROMPT), caller.request("b", PROMPT)
        caller.admit(a, 8)
        taken = [caller.manager.allocate_slots(request, 1, told_hit) for request in (a, b)]
        tables = [caller.manager.get_block_ids(request.request_id) for request in (a, b)]
        seen.append(([blocks and blocks.get_block_ids() for blocks in taken], tables))
    assert seen[0] == seen[1]
