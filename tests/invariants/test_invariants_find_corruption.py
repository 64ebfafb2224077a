"""Each invariant finds the corruption that it is there for, says where it is, and cries wolf for no other."""

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest

from invariants import (
    STATE_INVARIANTS,
    STEP_INVARIANTS,
    Checker,
    StateInvariant,
    Step,
    StepInvariant,
    View,
    Violation,
)
from invariants import step as told
from kvref.operations import (
    Allocate,
    ChunkedGroup,
    Configuration,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Group,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Operation,
    RemoveSkipped,
    Reset,
    SinkGroup,
    SlidingGroup,
)
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness, step_of
from spec.units import Tokens

PROMPT = tuple(range(1, 15))
OTHER = tuple(range(21, 35))


def config(
    *groups: Group, num_blocks: int = 11, size: int = 4, fine: int = 4, caching: bool = True
) -> Configuration:
    return Configuration(
        groups=groups,
        num_blocks=num_blocks,
        max_model_len=64,
        scheduler_block_size=size,
        hash_block_size=fine,
        enable_caching=caching,
    )


FULL = config(FullGroup(4))
HYBRID = config(FullGroup(4), SlidingGroup(4, 8), num_blocks=21)


@dataclass(frozen=True)
class Scene:
    """The last operation of a trace, before the invariants have seen it."""

    checker: Checker
    before: View
    step: Step
    after: View

    def state(self, view: View) -> list[Violation]:
        """What is wrong with a view in itself."""
        assert self.checker.state(self.after) == []
        return self.checker.state(view)

    def judge(self, *, after: View | None = None, action: told.Action | None = None) -> list[Violation]:
        """What is wrong with the operation, once its result or the state behind it are changed."""
        assert deepcopy(self.checker).step(self.before, self.step, self.after) == []
        step = self.step if action is None else replace(self.step, action=action)
        return deepcopy(self.checker).step(self.before, step, self.after if after is None else after)

    @property
    def found(self) -> told.LookUp:
        """The last operation, a lookup."""
        assert isinstance(self.step.action, told.LookUp)
        return self.step.action


def scene(configuration: Configuration, *operations: Operation) -> Scene:
    """Drive the reference, and stop before the last operation is judged."""
    session = ReferenceSession(configuration)
    witness = Witness(configuration, session.view())
    for operation in operations[:-1]:
        assert witness.sees(operation, session.apply(operation), session.view()) == []
    step = step_of(operations[-1], session.apply(operations[-1]))
    return Scene(witness.checker, witness.last, step, session.view())


def admit(name: str, tokens: tuple[int, ...], new: int, *, hit: int = 0) -> list[Operation]:
    return [NewRequest(name, tokens), Lookup(name), Allocate(name, 0, new, hit=hit)]


def ids(violations: list[Violation]) -> set[str]:
    return {violation.invariant for violation in violations}


def text(violations: list[Violation]) -> str:
    return "\n".join(violation.message for violation in violations)


def changed(values: list[int], index: int, value: int) -> list[int]:
    return [*values[:index], value, *values[index + 1 :]]


def with_table(view: View, request: str, group: int, table: list[int]) -> View:
    tables = deepcopy(view.tables)
    tables[request][group] = table
    return replace(view, tables=tables)


# States


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


# Steps


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


def test_duplicates_in_order_finds_a_younger_duplicate_in_front() -> None:
    twice = [NewRequest("b", PROMPT), *admit("a", PROMPT, 8)]
    s = scene(FULL, *twice, Allocate("b", 0, 8))
    assert [holders for _, holders in s.after.prefix_map] == [[1, 3], [2, 4]]
    (first, _), second = s.after.prefix_map
    found = s.judge(after=replace(s.after, prefix_map=[(first, [3, 1]), second]))
    assert ids(found) == {"duplicates-in-order"}
    assert "were [1]; those that stay must come first" in text(found)


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


def hit_scene(configuration: Configuration = FULL) -> Scene:
    """Request b shares the 12 first tokens of a."""
    return scene(configuration, *admit("a", PROMPT, 14), NewRequest("b", PROMPT[:13]), Lookup("b"))


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


def test_events_replay_the_map_finds_a_lost_event() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = deepcopy(s.checker).step(s.before, replace(s.step, events=()), s.after)
    assert ids(found) == {"events-replay-the-map"}
    assert "the events tell of 0 blocks" in text(found)


def test_events_replay_the_map_finds_an_event_of_another_group() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    (event,) = s.step.events
    assert isinstance(event, told.Stored)
    found = deepcopy(s.checker).step(s.before, replace(s.step, events=(replace(event, group=1),)), s.after)
    assert ids(found) == {"events-replay-the-map"}
    assert "in group 1, but 0 can be found" in text(found)


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


def test_every_invariant_has_a_test_of_its_own_here() -> None:
    names = [name for name in globals() if name.startswith("test_")]
    every: list[StateInvariant | StepInvariant] = [*STATE_INVARIANTS, *STEP_INVARIANTS]
    for invariant in every:
        prefix = f"test_{invariant.id.replace('-', '_')}_finds_"
        assert any(name.startswith(prefix) for name in names), invariant.id
        assert invariant.statement
    assert len({invariant.id for invariant in every}) == len(every)
