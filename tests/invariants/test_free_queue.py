"""The invariants of the free queue find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from kvref.operations import Free, GetBlocks, RemoveSkipped, SinkGroup
from tests.invariants.scene import FULL, HYBRID, PROMPT, admit, changed, config, ids, scene, text, with_table


def test_free_iff_unused_finds_a_leaked_block() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, free_queue=s.after.free_queue[1:]))
    assert ids(found) == {"free-iff-unused"}
    assert "block 5 has 0 users, and is 0 times in the free queue instead of 1 times" in text(found)


def test_free_iff_unused_finds_a_block_queued_twice_and_one_queued_in_use() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    assert ids(s.state(replace(s.after, free_queue=[*s.after.free_queue, 5]))) == {"free-iff-unused"}
    assert ids(s.state(replace(s.after, free_queue=[*s.after.free_queue, 1]))) == {"free-iff-unused"}


def test_reserved_are_held_finds_a_sink_block_that_was_given_back() -> None:
    s = scene(config(SinkGroup(4, 8)), *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, reserved=[1], free_queue=[*s.after.free_queue, 2], usage=0.5))
    assert ids(found) == {"reserved-are-held"}
    assert "2 blocks are to be set aside, but [1] are" in text(found)


def test_reserved_are_held_finds_a_sink_block_with_a_user_and_one_with_content() -> None:
    s = scene(config(SinkGroup(4, 8)), *admit("a", PROMPT, 14))
    assert s.after.reserved == [1, 2]
    found = s.state(replace(s.after, ref_counts=changed(s.after.ref_counts, 2, 1)))
    assert "reserved-are-held" in ids(found)
    assert "block 2 is set aside, but has 1 users and the key None" in text(found)
    found = s.state(replace(s.after, keys=[None, b"sunk", *s.after.keys[2:]]))
    assert "block 1 is set aside, but has 0 users and the key b'sunk'" in text(found)


def test_nothing_leaks_finds_a_block_that_nobody_holds_after_all_are_freed() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Free("a"))
    found = s.state(replace(s.after, free_queue=s.after.free_queue[:-1]))
    assert ids(found) == {"nothing-leaks", "free-iff-unused"}
    assert "no request holds blocks, but 9 of 10 blocks are free" in text(found)


def test_usage_is_held_share_finds_a_usage_that_forgets_the_sink() -> None:
    s = scene(config(SinkGroup(4, 8)), *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, usage=0.4))
    assert ids(found) == {"usage-is-held-share"}
    assert "6 of 10 blocks are held: 0.6" in text(found)


def test_queue_order_finds_a_table_released_head_first() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Free("a"))
    assert s.after.free_queue == [5, 6, 7, 8, 9, 10, 4, 3, 2, 1]
    found = s.judge(after=replace(s.after, free_queue=[5, 6, 7, 8, 9, 10, 1, 2, 3, 4]))
    assert ids(found) == {"queue-order"}
    assert "must be [5, 6, 7, 8, 9, 10, 4, 3, 2, 1]" in text(found)


def test_queue_order_finds_a_scratch_block_of_a_window_put_to_the_back() -> None:
    s = scene(HYBRID, *admit("a", PROMPT, 14), RemoveSkipped("a", 14), Free("a"))
    assert s.after.free_queue[0] == 8
    found = s.judge(after=replace(s.after, free_queue=[*s.after.free_queue[1:], 8]))
    assert ids(found) == {"queue-order"}


def test_queue_order_finds_blocks_taken_from_the_back() -> None:
    s = scene(FULL, *admit("a", PROMPT[:4], 4))
    assert s.after.tables == {"a": [[1]]}
    keys: list[bytes | None] = [None] * 10
    view = replace(
        with_table(s.after, "a", 0, [10]),
        ref_counts=[0] * 10 + [1],
        free_queue=[1, 2, 3, 4, 5, 6, 7, 8, 9],
        keys=[*keys, s.after.keys[1]],
        prefix_map=[(s.after.prefix_map[0][0], [10])],
    )
    found = s.judge(after=view)
    assert ids(found) == {"queue-order"}
    assert "takes blocks from the front of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" in text(found)


def test_queue_order_finds_a_question_that_moves_a_block() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), GetBlocks("a"))
    found = s.judge(after=replace(s.after, free_queue=[*s.after.free_queue[1:], s.after.free_queue[0]]))
    assert ids(found) == {"queue-order", "effects-are-its-own"}
