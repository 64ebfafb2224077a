"""The invariants of effects find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from invariants import step as told
from kvref.operations import Allocate, FullGroup, GetBlocks, MambaGroup, SlidingGroup
from tests.invariants.scene import FULL, PROMPT, admit, config, ids, scene, text


def test_effects_are_its_own_finds_a_lookup_that_forgets_a_step_key() -> None:
    s = scene(config(FullGroup(4), MambaGroup(4), num_blocks=21), *admit("a", PROMPT, 14), GetBlocks("a"))
    found = s.judge(after=replace(s.after, step_keys=[]))
    assert ids(found) == {"effects-are-its-own"}
    assert "must not change step_keys" in text(found)


def test_effects_are_its_own_finds_a_refused_mistake_that_left_traces() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Allocate("a", 14, 0))
    assert s.step.action == told.Failed("NothingToAllocateError")
    found = s.judge(after=replace(s.after, handled={"a": [4]}))
    assert ids(found) == {"effects-are-its-own"}
    assert "NothingToAllocateError" in text(found)


def test_refusal_changes_nothing_finds_a_refusal_that_kept_a_hit() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), Allocate("a", 14, 40))
    assert s.before == s.after
    found = s.judge(after=replace(s.after, handled={"a": [4]}))
    assert ids(found) == {"refusal-changes-nothing"}
    assert "changed handled: from {'a': [3]} to {'a': [4]}" in text(found)


def test_refusal_changes_nothing_lets_a_refusal_release_what_is_not_read() -> None:
    trace = [*admit("a", tuple(range(60)), 12), Allocate("a", 12, 40)]
    s = scene(config(SlidingGroup(4, 8)), *trace)
    assert s.after.tables["a"] == [[0, 2, 3]]
    assert s.judge() == []
    found = s.judge(after=s.before)
    assert ids(found) == {"refusal-changes-nothing", "queue-order"}
