"""Stretches against a plain list for the queue and a count for every block: QUEUE-1, QUEUE-3, QUEUE-5, POOL-6, POOL-7."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvref.optimized import free_queue
from kvref.optimized.free_queue import Stretch
from kvref.optimized.stretches import Stretches

BLOCKS = 24


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few blocks share a stretch in the queue."""
    monkeypatch.setattr(free_queue, "SHORT", 4)


def take(own: Stretches, count: int) -> list[int]:
    """A table of so many blocks."""
    table: list[int] = []
    own.take(count, table, apart=False)
    return table


def hit(own: Stretches, blocks: list[int]) -> None:
    """A user more for these blocks."""
    own.hold(own.hits(blocks))


def counted(own: Stretches) -> list[Stretch]:
    """Every stretch once, but for that of the blocks that are set aside."""
    return list({id(stretch): stretch for stretch in own.of if stretch.blocks}.values())


def check(own: Stretches) -> None:
    """Each block lies in the one stretch that it is said to lie in; the queue has those without a user."""
    stretches = counted(own)
    assert sorted(block for stretch in stretches for block in stretch.blocks) == list(range(1, BLOCKS))
    assert all(own.of[block] is stretch for stretch in stretches for block in stretch.blocks)
    assert all((stretch.after is None) == (stretch.users > 0) for stretch in stretches)
    assert own.queue.count == len(own.queue.ids())


def test_the_front_is_taken_first() -> None:
    own = Stretches(8, 1)
    table = take(own, 3)
    assert table == [1, 2, 3]
    own.release(table, 0, 1)
    own.release(table, 1, 3, to_front=True)
    assert own.queue.ids() == [3, 2, 4, 5, 6, 7, 1]
    assert own.queue.count == 7


def test_a_freed_table_is_queued_without_a_write_for_any_block() -> None:
    own = Stretches(8, 1)
    table = take(own, 3)
    own.take(2, table, apart=False)
    before = list(own.of)
    own.release(table, 0, 5)
    assert all(one is other for one, other in zip(own.of, before, strict=True))
    assert own.queue.ids() == [6, 7, 5, 4, 3, 2, 1]


def test_a_hit_leaves_the_middle_in_one_piece() -> None:
    own = Stretches(8, 1)
    table = take(own, 6)
    own.release(table, 0, 6)
    [stretch] = own.hits([2, 3, 4])
    own.hold([stretch])
    assert own.queue.ids() == [7, 6, 5, 1]
    assert [stretch.blocks for stretch in counted(own)] == [[1], [2, 3, 4], [5, 6], [7]]


def test_a_table_does_not_grow_into_what_others_hold() -> None:
    own = Stretches(8, 1)
    a = take(own, 2)
    b = a[:]
    hit(own, b)
    own.take(2, a, apart=False)
    own.take(1, b, apart=False)
    own.release(a, 0, 4)
    assert own.queue.ids() == [6, 7, 4, 3]
    own.release(b, 0, 3)
    assert own.queue.ids() == [6, 7, 4, 3, 5, 2, 1]


def test_a_hit_may_be_made_up_of_several_tables() -> None:
    own = Stretches(8, 1)
    a, b = take(own, 3), take(own, 3)
    hit(own, [b[0], a[1], b[2]])
    assert [own.of[block].users for block in range(1, 8)] == [1, 2, 1, 2, 1, 2, 0]
    own.release(a, 0, 3)
    own.release(b, 0, 3)
    assert own.queue.ids() == [7, 3, 1, 5]


def test_blocks_that_stand_apart_keep_their_stretch() -> None:
    own = Stretches(4, 1)
    table: list[int] = []
    own.take(3, table, apart=True)
    stretches = own.of[:]
    own.release(table, 0, 3)
    own.take(3, table, apart=True)
    assert table == [1, 2, 3, 3, 2, 1]
    assert all(one is other for one, other in zip(own.of, stretches, strict=True))


def test_what_a_window_leaves_joins_what_was_left_before() -> None:
    own = Stretches(12, 1)
    a, b = take(own, 4), take(own, 4)
    for at in range(3):
        own.release_one(a[at])
        own.release_one(b[at])
    assert own.queue.ids() == [9, 10, 11, 1, 5, 2, 6, 3, 7]
    assert [stretch.blocks for stretch in counted(own)] == [[1, 11, 10, 9], [3, 6, 2, 5], [4], [7], [8]]
    hit(own, [5, 6])
    assert own.queue.ids() == [9, 10, 11, 1, 2, 3, 7]
    assert own.of[5].blocks == [5, 6]


def test_a_pool_without_a_block_to_hand_out() -> None:
    own = Stretches(1, 1)
    assert (own.queue.ids(), own.queue.count) == ([], 0)


def leave(own: Stretches, table: list[int], count: int) -> None:
    if count == 1:
        own.release_one(table[0])
    else:
        own.release(table, 0, count)


@settings(max_examples=400)
@given(st.data())
def test_it_is_a_list_and_a_count(data: st.DataObject) -> None:
    own, queue = Stretches(BLOCKS, 1), list(range(1, BLOCKS))
    users: Counter[int] = Counter()
    tables: list[list[int]] = []

    def let_go(released: list[int]) -> list[int]:
        users.subtract(released)
        return [block for block in reversed(released) if not users[block]]

    for _ in range(data.draw(st.integers(1, 40))):
        what = data.draw(
            st.sampled_from(["begin", "grow", "grow", "apart", "hit", "share", "free", "skip", "leave"])
        )
        if what in ("begin", "hit", "share") or not tables:
            tables.append([])
            if what == "share" and len(tables) > 1:
                other = data.draw(st.sampled_from(tables[:-1]))
                tables[-1] += other[: data.draw(st.integers(0, len(other)))]
            elif what == "hit":
                tables[-1] += [block for block in range(1, BLOCKS) if data.draw(st.booleans())]
            queue = [block for block in queue if block not in tables[-1]]
            hit(own, tables[-1])
            users.update(tables[-1])
        at = data.draw(st.integers(0, len(tables) - 1))
        table = tables[at]
        if what in ("grow", "apart"):
            count = data.draw(st.integers(0, len(queue)))
            assert own.take(count, table, apart=what == "apart") == queue[:count]
            users.update(queue[:count])
            del queue[:count]
        elif what == "free":
            own.release(table, 0, len(table))
            queue += let_go(tables.pop(at))
        elif what == "skip":
            kept = [data.draw(st.booleans()) for _ in table]
            released = [block for block, keeps in zip(table, kept, strict=True) if not keeps]
            to_front = data.draw(st.booleans())
            own.release(released, 0, len(released), to_front=to_front)
            tables[at] = [block for block, keeps in zip(table, kept, strict=True) if keeps]
            gone = let_go(released)
            queue = gone + queue if to_front else queue + gone
        elif what == "leave":
            count = data.draw(st.integers(0, min(len(table), 3)))
            leave(own, table, count)
            queue += let_go(table[:count])
            del table[:count]
        assert own.queue.ids() == queue
        assert [own.of[block].users for block in range(1, BLOCKS)] == [
            users[block] for block in range(1, BLOCKS)
        ]
        check(own)


@pytest.mark.parametrize("hits", [False, True])
def test_its_memory_is_bounded(*, hits: bool) -> None:
    own = Stretches(BLOCKS, 1)
    for number in range(5000):
        if hits:
            first = number % (BLOCKS - 3)
            table = own.queue.ids()[first : first + 2]
            hit(own, table)
        else:
            table = take(own, 2)
        own.release(table, 0, 2)
    check(own)
