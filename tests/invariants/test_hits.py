"""The invariants of hits find the corruption that they are there for, and say where it is."""

from dataclasses import replace

from invariants import step as told
from invariants.history import Hit
from kvref.operations import Allocate, FullGroup, Lookup, MambaGroup, NewRequest, NewStep, SlidingGroup
from spec.units import Tokens
from tests.invariants.scene import FULL, HYBRID, PROMPT, admit, config, hit_scene, ids, scene, text


def test_hit_length_finds_a_hit_of_a_whole_request() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14), NewRequest("b", PROMPT[:12]), Lookup("b"))
    found = s.judge(action=replace(s.found, blocks=((1, 2, 3),), length=Tokens(12)))
    assert ids(found) == {"hit-length"}
    assert "request b of 12 tokens hits 12: one must be left to compute" in text(found)


def test_hit_length_finds_a_hit_off_the_alignment() -> None:
    s = hit_scene(config(FullGroup(4), SlidingGroup(4, 8), num_blocks=21, size=8, fine=4))
    assert s.found.blocks == ((1, 2), (5, 6))
    found = s.judge(action=replace(s.found, blocks=((1,), (5,)), length=Tokens(4)))
    assert ids(found) == {"hit-length"}
    assert "hits 4 tokens, not a multiple of 8" in text(found)


def test_hit_covers_every_group_finds_a_group_with_fewer_blocks() -> None:
    s = hit_scene(HYBRID)
    assert s.found.blocks == ((1, 2, 3), (0, 6, 7))
    found = s.judge(action=replace(s.found, blocks=((1, 2), (0, 6, 7))))
    assert ids(found) == {"hit-covers-every-group"}
    assert "hits 12 tokens, but the blocks [1, 2] of group 0 cover 8" in text(found)


def test_hit_covers_every_group_finds_a_hit_that_leaves_out_a_group() -> None:
    s = hit_scene(HYBRID)
    found = s.judge(action=replace(s.found, blocks=s.found.blocks[:1]))
    assert ids(found) == {"hit-covers-every-group"}
    assert "request b hits blocks of 1 groups, there are 2" in text(found)


def test_of_an_allocation_no_more_is_asked_than_its_lookup_found() -> None:
    s = scene(HYBRID, *admit("a", PROMPT, 14), *admit("b", PROMPT, 2, hit=12))
    s.checker.history.requests["b"].found = Hit(((1, 2, 3),), Tokens(12))
    assert s.checker.step(s.before, s.step, s.after) == []


def test_hit_reads_no_null_finds_a_hole_in_the_window() -> None:
    s = hit_scene(HYBRID)
    found = s.judge(action=replace(s.found, blocks=((1, 2, 3), (5, 0, 7))))
    assert ids(found) == {"hit-reads-no-null"}
    assert "group 1 reads blocks [1] behind the hit, but they are null: [5, 0, 7]" in text(found)


def test_hit_holds_its_content_finds_a_block_of_another_prefix() -> None:
    s = hit_scene()
    found = s.judge(action=replace(s.found, blocks=((1, 3, 2),)))
    assert ids(found) == {"hit-holds-its-content"}
    assert "request b hits block 3 as block 1 of group 0, but that block holds another content" in text(found)


def test_hit_holds_its_content_finds_a_block_of_another_group_and_one_without_content() -> None:
    s = hit_scene(HYBRID)
    found = s.judge(action=replace(s.found, blocks=((1, 2, 7), (0, 6, 7))))
    assert ids(found) == {"hit-holds-its-content"}
    assert "of group 1" in text(found)
    found = s.judge(action=replace(s.found, blocks=((1, 2, 4), (0, 6, 7))))
    assert ids(found) == {"hit-holds-its-content"}
    assert "was given no content" in text(found)


def test_oldest_is_hit_finds_a_hit_of_a_younger_duplicate() -> None:
    twice = [NewRequest("c", PROMPT), *admit("a", PROMPT, 8), Allocate("c", 0, 8)]
    s = scene(FULL, *twice, NewRequest("b", PROMPT), Lookup("b"))
    assert s.found.blocks == ((1, 2),)
    found = s.judge(action=replace(s.found, blocks=((1, 4),)))
    assert ids(found) == {"oldest-is-hit"}
    assert "request b hits [4] in group 0" in text(found)


def test_equal_specs_hit_alike_finds_a_block_in_one_group_only() -> None:
    twins = config(FullGroup(4), SlidingGroup(4, 8), SlidingGroup(4, 8), num_blocks=21)
    s = hit_scene(twins)
    assert s.found.blocks == ((1, 2, 3), (0, 6, 7), (0, 10, 11))
    found = s.judge(action=replace(s.found, blocks=((1, 2, 3), (0, 6, 7), (9, 10, 11))))
    assert ids(found) == {"equal-specs-hit-alike"}
    assert "groups 1 and 2 have equal specs" in text(found)


def test_eagle_has_its_block_finds_a_hit_up_to_the_last_cached_block() -> None:
    s = hit_scene(config(FullGroup(4, eagle=True)))
    assert s.found.length == 8
    found = s.judge(action=replace(s.found, blocks=((1, 2, 3),), length=Tokens(12)))
    assert ids(found) == {"eagle-has-its-block"}
    assert "block 3 behind the hit of 12 tokens ends behind the usable 12 tokens" in text(found)


def test_eagle_has_its_block_finds_an_absent_block_behind_the_hit() -> None:
    s = scene(
        config(FullGroup(4, eagle=True)), *admit("a", PROMPT, 14), NewRequest("b", PROMPT * 2), Lookup("b")
    )
    assert s.found.length == 8
    found = s.judge(action=replace(s.found, blocks=((1, 2, 3),), length=Tokens(12)))
    assert ids(found) == {"eagle-has-its-block"}
    assert "block 3 behind the hit of 12 tokens is not cached" in text(found)


def test_no_hit_unasked_finds_a_hit_of_a_request_that_skips_reading() -> None:
    skips = NewRequest("b", PROMPT, skip_reading=True)
    s = scene(FULL, *admit("a", PROMPT, 14), skips, Lookup("b"))
    found = s.judge(action=replace(s.found, blocks=((1,),), length=Tokens(4)))
    assert ids(found) == {"no-hit-unasked"}
    assert "the request skips reading" in text(found)


def test_no_hit_unasked_finds_a_hit_with_caching_off() -> None:
    s = hit_scene(config(FullGroup(4), caching=False))
    found = s.judge(action=replace(s.found, blocks=((1,),), length=Tokens(4)))
    assert "no-hit-unasked" in ids(found)
    assert "prefix caching is off" in text(found)


def test_hit_state_is_computed_finds_an_admission_behind_a_state_of_this_step() -> None:
    mamba = config(FullGroup(4), MambaGroup(4), num_blocks=21)
    s = scene(mamba, *admit("a", PROMPT[:9], 9), *admit("b", PROMPT[:9], 1, hit=8))
    assert isinstance(s.step.action, told.Allocate)
    assert s.step.action.appended is None
    computed = scene(mamba, *admit("a", PROMPT[:9], 9), NewStep(), *admit("b", PROMPT[:9], 1, hit=8))
    found = s.judge(after=replace(computed.after, step_keys=s.after.step_keys), action=computed.step.action)
    assert ids(found) == {"hit-state-is-computed"}
    assert "resumes from the state in block 5 of group 1" in text(found)
