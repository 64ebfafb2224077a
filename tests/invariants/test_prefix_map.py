"""The invariants of the prefix map find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from invariants import step as told
from kvref.operations import Allocate, Evict, Free, FullGroup, NewRequest, Reset
from tests.invariants.scene import FULL, PROMPT, admit, config, ids, scene, text


def test_map_and_blocks_agree_finds_a_block_that_lost_its_entry() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = s.state(replace(s.after, prefix_map=s.after.prefix_map[1:]))
    assert ids(found) == {"map-and-blocks-agree"}
    assert "block 1 is listed 0 times under key" in text(found)


def test_map_and_blocks_agree_finds_a_block_listed_twice_and_an_empty_key() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    key, holders = s.after.prefix_map[0]
    twice = [(key, holders * 2), *s.after.prefix_map[1:]]
    assert ids(s.state(replace(s.after, prefix_map=twice))) == {"map-and-blocks-agree"}
    empty = [*s.after.prefix_map, (b"gone", [])]
    assert ids(s.state(replace(s.after, prefix_map=empty))) == {"map-and-blocks-agree"}


def test_no_content_without_caching_finds_a_key() -> None:
    s = scene(config(FullGroup(4), caching=False), *admit("a", PROMPT, 14))
    keys = [*s.after.keys]
    keys[9] = b"key"
    found = s.state(replace(s.after, keys=keys, prefix_map=[(b"key", [9])]))
    assert ids(found) == {"no-content-without-caching"}
    assert "[9]" in text(found)


def test_duplicates_in_order_finds_a_younger_duplicate_in_front() -> None:
    twice = [NewRequest("b", PROMPT), *admit("a", PROMPT, 8)]
    s = scene(FULL, *twice, Allocate("b", 0, 8))
    assert [holders for _, holders in s.after.prefix_map] == [[1, 3], [2, 4]]
    (first, _), second = s.after.prefix_map
    found = s.judge(after=replace(s.after, prefix_map=[(first, [3, 1]), second]))
    assert ids(found) == {"duplicates-in-order"}
    assert "were [1]; those that stay must come first" in text(found)


def test_duplicates_in_order_finds_a_block_that_was_taken_and_kept_its_place() -> None:
    twice = [NewRequest("b", PROMPT), *admit("a", PROMPT, 4), Allocate("b", 0, 4), Free("a")]
    s = scene(config(FullGroup(4), num_blocks=3), *twice, NewRequest("c", PROMPT), Allocate("c", 0, 4))
    ((key, older),) = s.before.prefix_map
    assert (older, s.before.free_queue) == ([1, 2], [1])
    assert s.after.prefix_map == [(key, [2, 1])]
    found = s.judge(after=replace(s.after, prefix_map=s.before.prefix_map))
    assert ids(found) == {"duplicates-in-order"}
    assert "were [1, 2]; those that stay must come first" in text(found)


def test_content_outlives_use_finds_content_that_a_free_forgot() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Free("a"))
    keys = [*s.after.keys]
    keys[2] = None
    view = replace(s.after, keys=keys, prefix_map=[e for e in s.after.prefix_map if e[1] != [2]])
    found = s.judge(after=view)
    assert ids(found) == {"content-outlives-use", "effects-are-its-own", "events-replay-the-map"}
    assert "block 2 had key" in text(found)


def test_content_outlives_use_finds_content_that_an_eviction_kept() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Evict((2,)))
    found = s.judge(after=s.before)
    assert ids(found) == {"content-outlives-use", "events-replay-the-map"}
    assert "block 2 was to be forgotten" in text(found)


def test_reset_only_unused_finds_a_reset_while_a_block_is_held() -> None:
    s = scene(FULL, *admit("a", PROMPT[:3], 3), Reset())
    found = s.judge(action=told.Reset(done=True))
    assert ids(found) == {"reset-only-unused"}
    assert "9 of 10 blocks are free, but the reset returned True" in text(found)


def test_map_and_blocks_agree_finds_a_key_that_the_map_has_twice() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    key, holders = s.after.prefix_map[0]
    view = replace(s.after, prefix_map=[*s.after.prefix_map, (key, [4])])
    view = replace(view, keys=[None, *s.after.keys[1:4], key, *s.after.keys[5:]], handled={"a": [4]})
    assert holders == [1]
    found = s.state(view)
    assert ids(found) == {"map-and-blocks-agree"}
    assert text(found) == "a key is in the map twice"
