"""Operations and answers in plain words."""

import pytest

from kvref.events import AllBlocksCleared, BlockRemoved
from kvref.explain.sentences import (
    answered,
    by_group,
    configuration_in_words,
    counted,
    events_in_words,
    group_in_words,
    listed,
    stats_in_words,
    told,
)
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    SlidingGroup,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from spec.units import GroupId

OPERATIONS: list[tuple[Operation, str]] = [
    (NewRequest("r", (1,)), "Request r arrives with 1 token."),
    (
        NewRequest("r", (1, 2), salt="s", lora="l", skip_reading=True),
        "Request r arrives with 2 tokens (salt s; adapter l; does not read the prefix cache).",
    ),
    (AppendTokens("r", (1, 2)), "2 sampled tokens of r arrived."),
    (
        ContinueRequest("r", 1_000, (1,)),
        "Session r goes on: it keeps 1,000 tokens, and 1 new token follow.",
    ),
    (Lookup("r"), "r looks up its longest cached prefix."),
    (Lookup("r", 1), "r, preempted 1 time before, looks up its longest cached prefix."),
    (Allocate("r", 0, 9, hit=0), "r asks for slots for 9 new tokens."),
    (
        Allocate("r", 8, 1, lookahead=2, must_fit=True, reserved=3),
        (
            "r asks for slots for 1 new token behind 8 computed tokens "
            "(2 slots for drafts; the whole request must fit; 3 blocks reserved for others)."
        ),
    ),
    (
        Allocate("r", 0, 0, hit=4, external=4, delay=True, encoder=2),
        (
            "r asks for slots for 0 new tokens (with the 4 tokens of its hit; with 4 tokens loaded from "
            "elsewhere; nothing is cached yet; 2 tokens of an encoder)."
        ),
    ),
    (Free("r"), "r gives back all its blocks."),
    (CacheBlocks("r", 4), "The first 4 tokens of r are there: its full blocks may be cached."),
    (RemoveSkipped("r", 4), "With 4 tokens computed, r releases what it no longer reads."),
    (Evict((1, 2, 3)), "Content is to be forgotten: 3 blocks: 1\u20133."),
    (Reset(), "The whole prefix cache is to be forgotten."),
    (NewStep(), "A scheduling step begins."),
    (StepEnds(), "The oldest launched step has run."),
    (TakeEvents(), "Events are taken once more."),
    (TakeNewBlockIds(), "Which blocks are new, and have to be zeroed?"),
    (TakeStats(), "The statistics are taken, and start anew."),
    (CommonPrefix("r"), "How many leading blocks of r does every request hold?"),
    (GetBlocks("r"), "What is the block table of r?"),
]


@pytest.mark.parametrize(("operation", "sentence"), OPERATIONS, ids=lambda one: type(one).__name__)
def test_an_operation_is_one_sentence(operation: Operation, sentence: str) -> None:
    assert told(operation) == sentence


def test_every_operation_has_its_sentence() -> None:
    assert {type(operation) for operation, _ in OPERATIONS} == set(Operation.__args__)


ANSWERS: list[tuple[Operation, Observation, str]] = [
    (Lookup("r"), Observation(blocks=((), ()), tokens=0), "A hit of 0 tokens."),
    (
        Lookup("r"),
        Observation(blocks=((1,), (0, 2)), tokens=8),
        "A hit of 8 tokens: group 0: 1; group 1: ∅, 2.",
    ),
    (Allocate("r", 0, 1), Observation(), "Refused."),
    (Allocate("r", 0, 1), Observation(blocks=((), ())), "Granted: nothing is appended."),
    (Allocate("r", 0, 1), Observation(blocks=((3, 4, 5), ())), "Granted: group 0: 3\u20135."),
    (Allocate("r", 0, 0), Observation(error="NothingToAllocateError"), "It raises NothingToAllocateError."),
    (GetBlocks("r"), Observation(blocks=((0, 0, 7),)), "Group 0: ∅ \u00d72, 7."),
    (Reset(), Observation(done=True), "Done."),
    (Reset(), Observation(done=False), "Refused: a block is held."),
    (TakeNewBlockIds(), Observation(numbers=(5,)), "Block 5."),
    (TakeNewBlockIds(), Observation(numbers=()), "No block."),
    (CommonPrefix("r"), Observation(numbers=(2, 0)), "By group: 2, 0."),
    (
        TakeStats(),
        Observation(stats=(False, 1, 8, 4, 0, 0, 0)),
        "Lookups 1, tokens asked for 8, tokens hit 4.",
    ),
    (Free("r"), Observation(), ""),
]


@pytest.mark.parametrize(("operation", "seen", "sentence"), ANSWERS)
def test_an_answer_is_told_in_a_sentence(operation: Operation, seen: Observation, sentence: str) -> None:
    assert answered(operation, seen) == sentence


def test_neighbours_are_told_as_ranges_and_long_lists_are_cut() -> None:
    assert listed([1, 2, 4, 5, 6, 9, 8]) == "1, 2, 4\u20136, 9, 8"
    assert listed([]) == ""
    assert listed([9, 7, 5, 3], most=2) == "9, 7, and 2 more"


def test_a_thing_is_told_in_the_singular() -> None:
    assert [counted(number, "block") for number in (0, 1, 2_000)] == ["0 blocks", "1 block", "2,000 blocks"]


def test_groups_without_blocks_are_left_out() -> None:
    assert by_group(((), (4,), ())) == "group 1: 4"
    assert by_group(((), ())) == "no blocks"


def test_events_of_a_group_are_told_together() -> None:
    removed = [BlockRemoved((one,), "GPU", GroupId(group)) for one, group in ((1, 0), (2, 0), (3, 1))]
    assert events_in_words([*removed, AllBlocksCleared()]) == [
        "removed from group 0: 2 blocks",
        "removed from group 1: 1 block",
        "all cleared",
    ]


def test_statistics_that_are_not_kept_are_told_apart_from_none() -> None:
    assert stats_in_words(None) == "none are kept"
    assert stats_in_words((False, 0, 0, 0, 0, 0, 0)) == "all zero"


def test_a_configuration_tells_what_is_unusual() -> None:
    plain = Configuration((FullGroup(4),), 9, 64, 4, 4)
    assert configuration_in_words(plain) == [
        "pool of 9 blocks, block 0 is null",
        "model of 64 tokens",
        "scheduler's block 4, hash block 4",
    ]
    odd = Configuration(
        (FullGroup(4),), 9, 64, 4, 4, enable_caching=False, use_eagle=True, retention_interval=0
    )
    assert configuration_in_words(odd)[3:] == ["prefix caching off", "EAGLE", "retention interval 0"]
    assert group_in_words(SlidingGroup(4, 8, eagle=True)) == (
        "sliding window of 8, blocks of 4, feeds the draft head"
    )
    assert group_in_words(MambaGroup(4, "align", 2)) == (
        "recurrent state, mode align, 2 states for drafts, blocks of 4"
    )
