"""What the data plane catches, and the order in which steps touch memory [PROTO-14 to PROTO-22].

Every test tells a manager's answers by hand: blocks of 4 tokens, one letter a token.
"""

from kvref.compare import Difference
from kvref.operations import ChunkedGroup, CrossGroup, FullGroup, Item, MambaGroup, SinkGroup, SlidingGroup
from tests.dataplane.story import Story


def test_a_request_reads_what_it_wrote() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 5, [1, 2])
    assert story.step_ends() == []
    story.step()
    story.runs("a", 5, 3, [])
    assert story.step_ends() == []


def test_a_hit_whose_content_was_never_computed_is_a_misread() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 4, [1, 2], hit=4)
    assert story.step_ends() == [
        Difference("a reads token 0 in group 0 (full): block 1", "token 0 of a", "nothing")
    ]


def test_a_hit_on_what_another_computed_is_right() -> None:
    story = Story(FullGroup(4))
    for name in "ab":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("a", 8, [1, 2])
    story.step_ends()
    story.step()
    story.admits("b", 4, [1, 3], hit=4)
    assert story.step_ends() == []


def test_other_tokens_are_other_content_and_the_message_says_whose() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.arrives("b", "abxdefgh")
    story.step()
    story.admits("a", 8, [1, 2])
    story.step_ends()
    story.step()
    story.admits("b", 4, [1, 3], hit=4)
    assert story.step_ends() == [
        Difference("b reads token 2 in group 0 (full): block 1", "token 2 of b", "token 2 of a")
    ]


def test_a_salt_an_adapter_an_image_and_an_embedding_are_content() -> None:
    image = (Item("x", 0, 2),)
    for extras in ({"salt": "s"}, {"lora": "s"}, {"items": image}, {"embeds": b"abcd" * 8}):
        story = Story(FullGroup(4))
        story.arrives("a", "abcdefgh", **extras)
        story.arrives("b", "abcdefgh")
        story.step()
        story.admits("a", 8, [1, 2])
        assert story.step_ends() == []
        story.step()
        story.admits("b", 4, [1, 3], hit=4)
        (wrong,) = story.step_ends()
        assert (wrong.what, wrong.actual) == (
            "b reads token 0 in group 0 (full): block 1",
            "token 0 of a",
        ), extras


def test_an_adapter_is_not_a_salt_of_the_same_name() -> None:
    """HASH-4 makes their keys equal; their content is not."""
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh", salt="s")
    story.arrives("b", "abcdefgh", lora="s")
    story.step()
    story.admits("a", 8, [1, 2])
    story.step_ends()
    story.step()
    story.admits("b", 4, [1, 3], hit=4)
    assert len(story.step_ends()) == 1


def test_a_block_that_another_got_while_it_is_still_read_is_a_misread() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.arrives("b", "uvwxyz")
    story.step()
    story.admits("a", 4, [1])
    story.step_ends()
    story.step()
    story.admits("b", 4, [1])
    story.step_ends()
    story.step()
    story.runs("a", 4, 4, [2])
    assert story.step_ends() == [
        Difference("a reads token 0 in group 0 (full): block 1", "token 0 of a", "token 0 of b")
    ]


def test_a_token_without_a_slot_is_told() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdef")
    story.step()
    story.admits("a", 6, [1])
    told = [wrong.what for wrong in story.step_ends()]
    assert told == [
        "a writes token 4 in group 0 (full): no block",
        "a reads token 4 in group 0 (full): no block",
    ]


def test_proto_14_the_worker_is_told_a_whole_table_once_and_then_what_is_appended() -> None:
    """A manager that tells the wrong ids is wrong, whatever its own table holds."""
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefghij")
    story.step()
    story.admits("a", 4, [1])
    story.step_ends()
    story.step()
    story.runs("a", 4, 4, [2])
    assert story.step_ends() == []
    story.step()
    story.runs("a", 8, 2, [])
    assert "a writes token 8 in group 0 (full): no block" in [wrong.what for wrong in story.step_ends()]


def test_proto_15_a_freed_request_ends_its_step_before_its_block_is_written_by_another() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.arrives("b", "uvwxyz")
    story.step()
    story.admits("a", 4, [1])
    story.step()  # the step of a is launched, and still in flight
    story.frees("a")
    story.admits("b", 4, [1])
    assert story.step_ends() == []
    assert story.step_ends() == []
    story.step()
    story.runs("b", 4, 2, [2])
    assert story.step_ends() == []


def test_proto_15_nobody_reads_what_a_freed_request_computes() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 4, [1, 2], hit=4)  # never computed
    story.step()
    story.frees("a")
    assert story.step_ends() == []


def test_proto_16_a_full_block_may_be_hit_in_the_step_that_fills_it() -> None:
    story = Story(FullGroup(4))
    for name in "ab":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("b", 8, [1, 2])
    story.admits("a", 4, [1, 3], hit=4)
    assert story.step_ends() == []


def test_proto_17_a_state_must_not_be_hit_in_the_step_that_computes_it() -> None:
    story = Story(MambaGroup(4, "align"))
    for name in "ab":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("a", 4, [1])
    story.admits("b", 4, [1, 2], hit=4)
    assert story.step_ends() == [
        Difference("b reads token 3 in group 0 (mamba): block 1", "token 3 of b", "nothing")
    ]


def test_proto_18_a_window_reads_its_last_tokens_only() -> None:
    story = Story(SlidingGroup(4, window=3))
    story.arrives("a", "abcdefghijkl")
    story.step()
    story.admits("a", 10, [1, 2, 3])
    story.step_ends()
    story.arrives("b", "uvwx")
    story.step()
    story.admits("b", 4, [1])  # tokens 0 to 3 are behind the window of token 10
    assert story.step_ends() == []
    story.step()
    story.runs("a", 10, 2, [])
    assert story.step_ends() == []


def test_proto_18_a_window_reads_the_token_before_a_boundary() -> None:
    story = Story(SlidingGroup(4, window=4))
    story.arrives("a", "abcdefghijkl")
    story.step()
    story.admits("a", 10, [1, 2, 3])
    story.step_ends()
    story.arrives("b", "uvwx")
    story.step()
    story.admits("b", 4, [2])
    story.step_ends()
    story.step()
    story.runs("a", 10, 2, [])  # token 10 reads 7 to 10
    (wrong,) = story.step_ends()
    assert wrong.what == "a reads token 7 in group 0 (sliding): block 2"


def test_proto_18_a_chunk_reads_from_its_own_start() -> None:
    story = Story(ChunkedGroup(4, chunk=8))
    story.arrives("a", "abcdefghijkl")
    story.step()
    story.admits("a", 4, [0, 0, 5], hit=8)
    assert story.step_ends() == []


def test_proto_19_an_accepted_draft_is_content_and_a_rejected_one_is_not() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abc")
    story.step()
    story.admits("a", 3, [1])
    story.step_ends()
    story.samples("a", "d")
    story.step()
    story.runs("a", 3, 3, [2])  # token 3 is known; 4 and 5 are drafts
    story.step_ends()
    story.samples("a", "ef")  # the first draft was right
    story.step()
    story.runs("a", 5, 1, [])
    assert story.step_ends() == []
    story.arrives("b", "abcdefgh")
    story.step()
    story.admits("b", 2, [1, 2], hit=6)
    assert story.step_ends() == []


def test_proto_19_a_rejected_draft_that_stays_cached_is_caught() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abc")
    story.step()
    story.admits("a", 3, [1])
    story.step_ends()
    story.samples("a", "d")
    story.step()
    story.runs("a", 3, 5, [2])
    story.step_ends()
    story.samples("a", "e")  # all four drafts were wrong
    story.arrives("b", "abcdefghij")
    story.step()
    story.admits("b", 2, [1, 2, 3], hit=8)
    assert story.step_ends() == [
        Difference(
            "b reads token 4 in group 0 (full): block 2",
            "token 4 of b",
            "a rejected draft, or what was dropped",
        )
    ]


def test_proto_19_with_a_step_in_flight_a_rejection_lowers_the_next_step() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abc")
    story.step()
    story.admits("a", 3, [1, 2])
    story.step_ends()
    story.samples("a", "d")
    story.step()
    story.runs("a", 3, 3, [])  # drafts for 4 and 5
    story.step()
    story.runs("a", 6, 1, [3])
    assert story.step_ends() == []
    story.samples("a", "e")  # both wrong: the step in flight computes token 4, not 6
    assert story.step_ends() == []
    story.samples("a", "f")
    story.step()
    story.runs("a", 5, 1, [])
    assert story.step_ends() == []


def test_proto_20_a_state_behind_each_draft_and_a_copy_at_the_end_of_a_block() -> None:
    """The example of `spec.execution`: tokens 7, 8 and 9, of which 8 and 9 are drafts."""
    story = Story(MambaGroup(4, "align", speculative_blocks=2))
    story.arrives("a", "abcdefg")
    story.step()
    story.admits("a", 7, [0, 1, 2, 3])
    story.step_ends()
    story.samples("a", "h")
    story.step()
    story.runs("a", 7, 3, [4])
    assert story.step_ends() == []
    story.samples("a", "ij")  # one draft was right: the state behind token 8 is in block 3
    story.step()
    story.runs("a", 9, 1, [])
    assert story.step_ends() == []
    story.arrives("b", "abcdefghxy")
    story.step()
    story.admits("b", 2, [0, 1, 5, 6, 7], hit=8)  # block 1 is the state behind token 7
    assert story.step_ends() == []


def test_proto_20_a_block_end_within_a_step_leaves_no_aligned_state() -> None:
    """vLLM 0.23.0 publishes a key for it where the table has the block: Q-57 to Q-59."""
    story = Story(MambaGroup(4, "align"))
    story.arrives("a", "abcdefghij")
    story.step()
    story.admits("a", 6, [0, 1])
    story.step_ends()
    story.step()
    story.runs("a", 6, 4, [2])
    assert story.step_ends() == []
    story.arrives("b", "abcdefghxy")
    story.step()
    story.admits("b", 2, [0, 1, 3], hit=8)
    assert story.step_ends() == [
        Difference("b reads token 7 in group 0 (mamba): block 1", "token 7 of b", "token 5 of b")
    ]


def test_proto_21_a_load_is_there_when_it_is_told_and_not_before() -> None:
    story = Story(FullGroup(4))
    for name in "ab":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("a", 0, [1, 2], external=8, delay=True)
    story.step_ends()
    story.step()
    story.admits("b", 4, [1, 3], hit=4)
    (wrong,) = story.step_ends()
    assert wrong == Difference("b reads token 0 in group 0 (full): block 1", "token 0 of b", "nothing")
    story.loaded("a", 8)
    story.step()
    story.runs("a", 7, 1, [])
    assert story.step_ends() == []


def test_proto_21_of_a_load_that_failed_in_part_the_rest_is_not_there() -> None:
    story = Story(FullGroup(4))
    for name, tokens in (("a", "abcdefgh"), ("b", "abcdefghij")):
        story.arrives(name, tokens)
    story.step()
    story.admits("a", 0, [1, 2], external=8, delay=True)
    story.step_ends()
    story.loaded("a", 4)
    story.step()
    story.admits("b", 2, [1, 2, 3], hit=8)
    (wrong,) = story.step_ends()
    assert wrong == Difference("b reads token 4 in group 0 (full): block 2", "token 4 of b", "nothing")


def test_proto_21_a_load_ends_with_the_life_that_began_it() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 0, [1, 2], external=8, delay=True)
    story.step_ends()
    story.frees("a")
    story.step()
    story.admits("a", 4, [5, 6], hit=4)  # never computed, and nothing is loaded into it
    story.loaded("a", 4)
    (wrong,) = story.step_ends()
    assert wrong == Difference("a reads token 0 in group 0 (full): block 5", "token 0 of a", "nothing")


def test_proto_21_external_tokens_of_a_step_are_there_for_its_reads() -> None:
    story = Story(FullGroup(4), MambaGroup(4, "align"))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 4, [1, 2], [3, 4], external=4)
    assert story.step_ends() == []


def test_proto_22_a_block_in_tables_of_two_groups_is_lost_to_one() -> None:
    story = Story(FullGroup(4), SlidingGroup(4, window=8))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 4, [1], [2])
    story.step_ends()
    story.step()
    story.runs("a", 4, 4, [3], [1])
    story.step_ends()
    story.samples("a", "i")
    story.step()
    story.runs("a", 8, 1, [4], [5])
    (wrong, *_) = story.step_ends()
    assert wrong == Difference(
        "a reads token 0 in group 0 (full): block 1", "token 0 of a", "what another group wrote"
    )


def test_the_encoders_output_is_written_once_and_read_at_each_step() -> None:
    story = Story(FullGroup(4), CrossGroup(4), enable_caching=False)
    story.arrives("a", "abcdefgh")
    story.arrives("b", "uvwxyz")
    story.step()
    story.admits("a", 4, [1], [2, 3], encoder=6)
    assert story.step_ends() == []
    story.step()
    story.runs("a", 4, 1, [4], [])
    story.admits("b", 4, [5], [3], encoder=2)
    (wrong,) = story.step_ends()
    assert wrong.what.startswith("a reads token 4 in group 1 (cross): block 3")


def test_a_streaming_session_replaces_what_was_not_computed() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abc")
    story.step()
    story.admits("a", 3, [1])
    story.step_ends()
    story.samples("a", "d")
    story.goes_on("a", 3, "xy")
    story.step()
    story.runs("a", 3, 2, [2])
    assert story.step_ends() == []
    story.arrives("b", "abcdef")
    story.step()
    story.admits("b", 2, [1, 3], hit=4)
    assert story.step_ends() == [
        Difference("b reads token 3 in group 0 (full): block 1", "token 3 of b", "token 3 of a")
    ]


def test_alloc_4_slots_for_a_draft_head_are_there_when_the_step_runs() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcd")
    story.step()
    story.admits("a", 4, [1], lookahead=2)
    assert story.step_ends() == [
        Difference("a writes token 4 in group 0 (full): no block", "what a draft head writes", "nothing")
    ]
    story.step()
    story.runs("a", 4, 1, [2], lookahead=3)
    assert story.step_ends() == []


def test_alloc_4_no_slots_are_asked_for_behind_the_longest_request() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "a" * 64)
    story.step()
    story.admits("a", 64, list(range(1, 17)), lookahead=4)
    assert story.step_ends() == []


def test_sink_1_the_blocks_of_a_sink_are_handed_out_to_nobody() -> None:
    story = Story(SinkGroup(4, sink=8))
    story.arrives("a", "abcdef")
    story.step()
    story.admits("a", 2, [3, 4])
    assert story.step_ends() == []
    story.step()
    story.runs("a", 2, 4, [2])
    assert story.step_ends() == []
    story.arrives("b", "uvwxyz")
    story.step()
    story.admits("b", 6, [2, 5])
    assert story.step_ends() == [
        Difference("b reads token 0 in group 0 (sink): block 2", "the attention sink", "token 0 of b")
    ]


def test_pool_8_what_was_evicted_by_hand_must_not_be_hit() -> None:
    story = Story(FullGroup(4))
    for name in "ab":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("a", 8, [1, 2])
    story.step_ends()
    story.frees("a")
    story.plane.lose([2])
    story.step()
    story.admits("b", 2, [1, 2], hit=6)
    assert story.step_ends() == [
        Difference("b reads token 4 in group 0 (full): block 2", "token 4 of b", "nothing")
    ]


def test_pool_8_what_a_request_holds_is_mended_by_it() -> None:
    story = Story(FullGroup(4))
    story.arrives("a", "abcdefgh")
    story.step()
    story.admits("a", 4, [1, 2])
    story.step_ends()
    story.plane.lose([1])
    story.step()
    story.runs("a", 4, 4, [])
    assert story.step_ends() == []


def test_common_1_blocks_that_are_told_as_common_are_in_every_table() -> None:
    story = Story(FullGroup(4))
    for name in "abc":
        story.arrives(name, "abcdefgh")
    story.step()
    story.admits("a", 8, [1, 2])
    story.admits("b", 4, [1, 3], hit=4)
    assert story.plane.uncommon("a", [1]) == []
    story.admits("c", 8, [4, 5])
    assert story.plane.uncommon("a", [0]) == []
    assert story.plane.uncommon("a", [1]) == [
        Difference("blocks of a in group 0 that all requests hold", "fewer: c holds others", "1")
    ]
