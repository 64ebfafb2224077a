"""The invariants of reference counts find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from tests.invariants.scene import FULL, HYBRID, PROMPT, admit, changed, ids, scene, text, with_table


def test_picture_is_whole_finds_a_block_that_the_pool_has_not() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(with_table(s.after, "a", 0, [1, 2, 3, 99]))
    assert ids(found) == {"picture-is-whole"}
    assert "[99]" in text(found)


def test_picture_is_whole_finds_a_missing_group() -> None:
    s = scene(HYBRID, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, tables={"a": s.after.tables["a"][:1]}))
    assert ids(found) == {"picture-is-whole"}
    assert "request a has 1 tables" in text(found)


def test_count_equals_use_finds_a_block_that_counts_one_user_too_many() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, ref_counts=changed(s.after.ref_counts, 2, 2)))
    assert ids(found) == {"count-equals-use"}
    assert "block 2 counts 2 uses, but 1 table entries hold it: a[0][1]" in text(found)


def test_count_equals_use_finds_a_negative_count() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, ref_counts=changed(s.after.ref_counts, 9, -1)))
    assert "block 9 counts -1 uses, but 0 table entries hold it: no table" in text(found)
    assert "count-equals-use" in ids(found)


def test_null_block_is_nothing_finds_it_in_the_free_queue() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, free_queue=[*s.after.free_queue, 0]))
    assert ids(found) == {"null-block-is-nothing"}
    assert "position 6" in text(found)


def test_null_block_is_nothing_finds_it_set_aside_and_with_content() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    assert "the null block is among the reserved blocks" in text(s.state(replace(s.after, reserved=[0])))
    found = s.state(replace(s.after, keys=[b"nothing", *s.after.keys[1:]]))
    assert "the null block has the key b'nothing'" in text(found)
