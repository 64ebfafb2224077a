"""The free queue against a plain list: QUEUE-1, QUEUE-3, QUEUE-5, POOL-6."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvref.optimized import free_queue
from kvref.optimized.free_queue import SHARED, FreeQueue

BLOCKS = 24


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of three blocks, and little patience with stale entries."""
    monkeypatch.setattr(free_queue, "SHORT", 2)
    monkeypatch.setattr(free_queue, "SLACK", 3)


def test_the_front_is_taken_first() -> None:
    queue = FreeQueue(8, 1)
    owner = queue.new_owner()
    assert queue.take(3, owner) == [1, 2, 3]
    queue.append([3, 1], SHARED)
    queue.prepend([2])
    assert queue.ids() == [2, 4, 5, 6, 7, 3, 1]
    assert queue.count == 7


def test_a_freed_table_is_queued_without_a_write_for_any_block() -> None:
    queue = FreeQueue(8, 1)
    owner = queue.new_owner()
    table = queue.take(5, owner)
    before = list(queue.owner)
    queue.append(table[::-1], owner)
    queue.owners.discard(owner)
    assert queue.owner == before
    assert queue.ids() == [6, 7, 5, 4, 3, 2, 1]
    assert all(queue.holds(block) for block in range(1, 8))


def test_a_hit_block_leaves_the_middle() -> None:
    queue = FreeQueue(8, 1)
    owner = queue.new_owner()
    queue.remove([3, 5], owner)
    assert queue.ids() == [1, 2, 4, 6, 7]
    assert queue.take(4, owner) == [1, 2, 4, 6]


def test_a_pool_without_a_block_to_hand_out() -> None:
    queue = FreeQueue(1, 1)
    assert (queue.ids(), queue.count) == ([], 0)


def kept(queue: FreeQueue) -> int:
    """All entries that take up memory."""
    return sum(len(segment.blocks) for segment in queue._segments)


@pytest.mark.parametrize("hits", [False, True])
def test_its_memory_is_bounded(*, hits: bool) -> None:
    queue = FreeQueue(BLOCKS, 1)
    for _ in range(5000):
        owner = queue.new_owner()
        if hits:
            table = queue.ids()[2:4]
            queue.remove(table[:], owner)
        else:
            table = queue.take(2, owner)
        queue.append(table, owner)
        queue.owners.discard(owner)
    assert queue.count == BLOCKS - 1
    assert kept(queue) < 3 * BLOCKS + 2 * free_queue.LONGEST


@settings(max_examples=300)
@given(st.data())
def test_it_is_a_list(data: st.DataObject) -> None:
    queue, model = FreeQueue(BLOCKS, 1), list(range(1, BLOCKS))
    tables: dict[int, list[int]] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        what = data.draw(st.sampled_from(["take", "take", "hit", "free", "skip", "scratch"]))
        if what in ("take", "hit"):
            fresh = data.draw(st.booleans()) or not tables
            owner = queue.new_owner() if fresh else data.draw(st.sampled_from(sorted(tables)))
            table = tables.setdefault(owner, [])
            if what == "take":
                count = data.draw(st.integers(0, len(model)))
                assert queue.take(count, owner) == model[:count]
                table += model[:count]
                del model[:count]
            else:
                hits = [block for block in model if data.draw(st.booleans())]
                queue.remove(hits, owner)
                model = [block for block in model if block not in hits]
                table += hits
        elif tables:
            owner = data.draw(st.sampled_from(sorted(tables)))
            if what == "free":
                freed = tables.pop(owner)
                queue.append(freed[:], owner)
                queue.owners.discard(owner)
                model += freed
            else:
                table = tables[owner]
                count = data.draw(st.integers(0, len(table)))
                dropped, tables[owner] = table[:count], table[count:]
                if what == "skip":
                    queue.append(dropped[:], SHARED)
                    model += dropped
                else:
                    queue.prepend(dropped[:])
                    model = dropped + model
        assert queue.ids() == model
        assert queue.count == len(model)
        assert [block for block in range(1, BLOCKS) if queue.holds(block)] == sorted(model)
