"""The invariants of content find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from invariants import View
from kvref.operations import Allocate, Free, FullGroup, NewRequest
from tests.invariants.scene import FULL, OTHER, PROMPT, admit, config, ids, scene, text, with_table


def test_cached_blocks_are_full_finds_a_key_on_a_block_with_empty_slots() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    keys = [*s.after.keys]
    keys[4] = b"early"
    view = replace(s.after, keys=keys, prefix_map=[*s.after.prefix_map, (b"early", [4])], handled={"a": [4]})
    found = s.judge(after=view)
    assert ids(found) == {"cached-blocks-are-full", "events-replay-the-map"}
    assert "block 4 got a key as block 3 of request a, group 0, which ends at token 16, but only 14" in text(
        found
    )


def test_cached_blocks_are_full_finds_a_key_on_a_block_that_the_request_does_not_hold() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    keys = [*s.after.keys]
    keys[9] = b"foreign"
    found = s.judge(after=replace(s.after, keys=keys, prefix_map=[*s.after.prefix_map, (b"foreign", [9])]))
    assert ids(found) == {"cached-blocks-are-full", "events-replay-the-map"}
    assert "block 9 got a key" in text(found)


def test_cached_blocks_are_full_finds_a_key_that_a_delayed_allocation_gave() -> None:
    s = scene(config(FullGroup(1), size=1, fine=1), NewRequest("a", (1, 2)), Allocate("a", 0, 1, delay=True))
    view = replace(s.after, keys=[None, b"soon", *s.after.keys[2:]], prefix_map=[(b"soon", [1])])
    found = s.judge(after=replace(view, handled={"a": [1]}))
    assert "cached-blocks-are-full" in ids(found)
    assert "which ends at token 1, but only 0 tokens are known and computed" in text(found)


def rekeyed(view: View, old: bytes, new: bytes) -> View:
    keys = [new if key == old else key for key in view.keys]
    moved = [(key, holders) for key, holders in view.prefix_map if key not in (old, new)]
    return replace(
        view, keys=keys, prefix_map=[*moved, (new, [b for b, key in enumerate(keys) if key == new])]
    )


def test_key_names_content_finds_one_key_for_two_contents() -> None:
    s = scene(FULL, *admit("a", PROMPT[:4], 4), *admit("b", OTHER[:4], 4))
    first, second = s.after.keys[1], s.after.keys[2]
    assert first
    assert second
    found = s.judge(after=rekeyed(s.after, second, first))
    assert ids(found) == {"key-names-content", "events-replay-the-map"}
    assert "block 2 got key" in text(found)
    assert "that key stood for another content" in text(found)


def test_key_names_content_finds_a_block_that_was_taken_and_kept_its_old_key() -> None:
    small = config(FullGroup(4), num_blocks=2)
    s = scene(small, *admit("a", PROMPT[:4], 4), Free("a"), *admit("b", OTHER[:4], 4))
    old = s.before.keys[1]
    assert old
    assert old != s.after.keys[1]
    view = replace(s.after, keys=[None, old], prefix_map=[(old, [1])])
    found = s.judge(after=view)
    assert "key-names-content" in ids(found)
    assert "that key stood for another content" in text(found)


def test_key_names_content_finds_two_keys_for_one_content() -> None:
    same = [*admit("a", PROMPT[:4], 4), NewRequest("b", PROMPT[:4]), Allocate("b", 0, 4)]
    s = scene(FULL, *same)
    keys = [*s.after.keys]
    keys[2] = b"another key!"
    assert keys[1]
    found = s.judge(after=replace(s.after, keys=keys, prefix_map=[(keys[1], [1]), (b"another key!", [2])]))
    assert ids(found) == {"key-names-content", "events-replay-the-map"}
    assert "the same content had key" in text(found)


def test_shared_blocks_agree_finds_a_request_with_the_block_of_another() -> None:
    s = scene(FULL, *admit("a", PROMPT[:4], 4), *admit("b", OTHER[:3], 3))
    assert s.after.tables["b"] == [[2]]
    view = with_table(s.after, "b", 0, [1])
    view = replace(
        view, ref_counts=[0, 2] + [0] * 9, free_queue=[*range(2, 11)], usage=0.1, handled={"a": [1], "b": [1]}
    )
    found = s.judge(after=view)
    assert ids(found) == {"shared-blocks-agree"}
    assert "block 1 is block 0 of request b, group 0, and block 0 of request a" in text(found)
