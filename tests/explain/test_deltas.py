"""What makes a picture of the one before it."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from invariants.view import View
from kvref.explain.deltas import NOTHING, Delta, Names, Splice, delta, queue_splices, row_splices
from kvref.explain.pool import Contents
from tests.explain.stories import healthy

IDS = st.lists(st.integers(0, 9), max_size=12)
QUEUES = st.lists(st.integers(1, 12), unique=True)


def spliced(old: list[int], splices: list[Splice]) -> list[int]:
    new = list(old)
    for at, gone, come in splices:
        new[at : at + gone] = come
    return new


@given(IDS, IDS)
def test_a_row_is_made_of_the_row_before(old: list[int], new: list[int]) -> None:
    assert spliced(old, row_splices(old, new)) == new


@given(QUEUES, QUEUES)
def test_a_queue_is_made_of_the_queue_before(old: list[int], new: list[int]) -> None:
    assert spliced(old, queue_splices(old, new)) == new


def test_a_queue_in_another_order_and_one_with_a_block_twice_are_made_too() -> None:
    for old, new in (([1, 2, 3], [3, 2, 1]), ([1, 2], [2, 1, 2]), ([1], [1, 1])):
        assert spliced(old, queue_splices(old, new)) == new


def test_blocks_that_leave_the_front_and_come_to_the_back_leave_the_others_out() -> None:
    assert queue_splices([1, 2, 3, 4, 5], [3, 4, 5, 9]) == [(0, 2, []), (3, 0, [9])]
    assert row_splices([0, 0, 3, 4], [0, 0, 0, 4, 5]) == [(2, 2, [0, 4, 5])]
    assert queue_splices([1, 2], [1, 2]) == row_splices([1, 2], [1, 2]) == []


def applied(view: View, change: Delta, names: Names) -> View:
    """The picture after a change, as the page's script works it out."""
    users, keys = list(view.ref_counts), list(view.keys)
    for block, count, content in change.blocks:
        users[block : block + 1] = [count]
        keys[block : block + 1] = [None if content < 0 else names.told[content].encode()]
    tables, handled = dict(view.tables), dict(view.handled)
    for request, rows in change.tables.items():
        tables.pop(request, None)
        handled.pop(request, None)
        if rows is not None:
            old = view.tables.get(request, [[] for _ in rows[0]])
            tables[request] = [spliced(row, splices) for row, splices in zip(old, rows[0], strict=True)]
            handled[request] = rows[1]
    queue = spliced(view.free_queue, change.queue)
    reserved = view.reserved if change.reserved is None else change.reserved
    return replace(
        view, ref_counts=users, keys=keys, free_queue=queue, tables=tables, handled=handled, reserved=reserved
    )


def test_every_picture_of_a_life_is_made_of_the_one_before() -> None:
    story = healthy()
    names = Names(story.contents)
    shown, before = NOTHING, NOTHING
    for view in (story.initial, *(step.seen.view for step in story.steps)):
        assert view is not None
        shown = applied(shown, delta(before, view, names), names)
        before = view
        assert (shown.ref_counts, shown.free_queue) == (view.ref_counts, view.free_queue)
        assert (shown.tables, shown.handled) == (view.tables, view.handled)
        told = [None if key is None else story.contents.name(key).encode() for key in view.keys]
        assert shown.keys == told


def test_nothing_changed_is_nothing() -> None:
    story = healthy()
    assert delta(story.initial, story.initial, Names(story.contents)) == Delta()


def test_a_content_has_one_number() -> None:
    names = Names(Contents(healthy().trace.configuration, {b"a": "tokens 0 of r"}))
    assert [names.number(key) for key in (b"a", None, b"b", b"a")] == [0, -1, 1, 0]
    assert names.told == ["tokens 0 of r", "key 62…"]
