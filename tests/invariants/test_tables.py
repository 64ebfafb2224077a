"""The invariants of block tables find the corruption that they are there for, and say where it is."""

from dataclasses import replace

import pytest

from kvref.operations import (
    Allocate,
    ChunkedGroup,
    Free,
    FullGroup,
    Group,
    Lookup,
    MambaGroup,
    NewRequest,
    RemoveSkipped,
    SlidingGroup,
)
from tests.invariants.scene import (
    FULL,
    HYBRID,
    OTHER,
    PROMPT,
    admit,
    changed,
    config,
    ids,
    scene,
    text,
    with_table,
)


def test_one_group_a_block_finds_a_block_in_tables_of_two_groups() -> None:
    s = scene(HYBRID, *admit("a", PROMPT, 14))
    assert s.after.tables["a"] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    view = with_table(s.after, "a", 1, [5, 6, 7, 4])
    counts = changed(changed(view.ref_counts, 4, 2), 8, 0)
    view = replace(view, ref_counts=counts, free_queue=[*view.free_queue, 8], usage=7 / 20)
    found = s.state(view)
    assert ids(found) == {"one-group-a-block"}
    assert "block 4 stands in tables of group 0 and of group 1" in text(found)


def test_one_entry_a_block_finds_a_block_twice_in_a_table() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    view = with_table(s.after, "a", 0, [1, 2, 3, 4, 4])
    found = s.state(replace(view, ref_counts=changed(view.ref_counts, 4, 2)))
    assert ids(found) == {"one-entry-a-block"}
    assert "blocks [4] stand twice in the table of request a, group 0" in text(found)


@pytest.mark.parametrize("group", [FullGroup(4), SlidingGroup(4, 8), ChunkedGroup(4, 8), MambaGroup(4)])
def test_nulls_come_first_finds_a_hole(group: Group) -> None:
    s = scene(config(group, caching=False), *admit("a", PROMPT, 14))
    view = with_table(s.after, "a", 0, [1, 2, 0, 4])
    view = replace(
        view, ref_counts=changed(view.ref_counts, 3, 0), free_queue=[*view.free_queue, 3], usage=0.3
    )
    found = s.state(view)
    assert ids(found) == {"nulls-come-first"}
    assert "[1, 2, 0, 4]" in text(found)


def test_nulls_come_first_lets_aligned_mamba_have_holes() -> None:
    s = scene(config(MambaGroup(4, "align"), caching=False), *admit("a", PROMPT, 14))
    view = with_table(s.after, "a", 0, [1, 0, 0, 0])
    assert "nulls-come-first" not in ids(s.state(view))


def test_handled_within_table_finds_more_handled_than_held_and_keys_beyond() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, handled={"a": [5]}))
    assert ids(found) == {"handled-within-table"}
    assert "5 entries handled, but only 4 held" in text(found)
    found = s.state(replace(s.after, handled={"a": [2]}))
    assert ids(found) == {"handled-within-table"}
    assert "blocks [3] have keys before they were handled" in text(found)


def test_tables_only_grow_finds_an_entry_that_was_exchanged() -> None:
    s = scene(config(FullGroup(4), caching=False), *admit("a", PROMPT, 4), Allocate("a", 4, 4))
    assert s.after.tables["a"] == [[1, 2]]
    found = s.judge(after=with_table(s.after, "a", 0, [2, 1]))
    assert ids(found) == {"tables-only-grow"}
    assert "changed the entries [0] of group 0" in text(found)


def test_tables_only_grow_finds_a_changed_table_of_another_request() -> None:
    s = scene(FULL, *admit("a", PROMPT[:7], 7), *admit("b", OTHER, 14), Free("b"))
    assert s.after.tables == {"a": [[1, 2]]}
    found = s.judge(after=with_table(s.after, "a", 0, [2, 1]))
    assert "tables-only-grow" in ids(found)
    assert "changed the tables of request a from [[1, 2]] to [[2, 1]]" in text(found)


def test_tables_hold_the_slots_finds_a_table_that_is_too_short() -> None:
    s = scene(FULL, *admit("a", PROMPT[:3], 3), Allocate("a", 3, 4))
    assert s.after.tables["a"] == [[1, 2]]
    view = with_table(s.after, "a", 0, [1])
    view = replace(
        view, ref_counts=changed(view.ref_counts, 2, 0), free_queue=[*range(2, 11)], usage=1 - 9 / 10
    )
    found = s.judge(after=view)
    assert ids(found) == {"tables-hold-the-slots"}
    assert "needs 2 entries in group 0, but the table is [1]" in text(found)


def test_hits_are_bound_finds_a_hit_that_was_not_used() -> None:
    shared = [*admit("a", PROMPT[:8], 8), NewRequest("b", PROMPT[:9]), Lookup("b")]
    s = scene(FULL, *shared, Allocate("b", 0, 1, hit=8))
    assert s.after.tables["b"] == [[1, 2, 3]]
    view = with_table(s.after, "b", 0, [1, 4, 3])
    counts = [0, 2, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    found = s.judge(after=replace(view, ref_counts=counts, free_queue=[*range(5, 11)], usage=0.4))
    assert ids(found) == {"hits-are-bound"}
    assert "must start the table of group 0 with [1, 2], but it is [1, 4, 3]" in text(found)


def test_tables_only_grow_finds_a_release_that_takes_an_entry_away() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), RemoveSkipped("a", 8))
    found = s.judge(after=with_table(s.after, "a", 0, [1, 2, 3]))
    assert "tables-only-grow" in ids(found)
    assert "must leave request a the tables [[1, 2, 3, 4]], but they are [[1, 2, 3]]" in text(found)
