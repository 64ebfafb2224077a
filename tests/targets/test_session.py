"""A session performs operations on a manager that has vLLM's API: which call, with which arguments."""

from typing import Any

import pytest

from invariants.view import View
from kvref.events import BlockRemoved, KVCacheEvent
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
    Item,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.request import Request
from kvref.stats import PrefixCacheStats
from kvref.targets.reference import ReferenceSession
from kvref.targets.session import ApiSession, picture_map, stats_of
from spec.units import GroupId


class Block:
    def __init__(self, block_id: int) -> None:
        self.block_id = block_id


class Found:
    """What the API calls KVCacheBlocks."""

    def __init__(self, *groups: list[int]) -> None:
        self.blocks = [[Block(block_id) for block_id in group] for group in groups]


class Recorder:
    """A manager that notes every call, and answers what it is told to."""

    def __init__(self, **answers: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


class Asked:
    """The request that a caller keeps."""

    num_computed_tokens = 0
    num_preemptions = 0

    def __init__(self) -> None:
        self.appended: list[int] = []
        self.continued: tuple[int, ...] = ()

    def append_output_token_ids(self, tokens: list[int]) -> None:
        self.appended += tokens


class RecordedSession(ApiSession):
    """A session on a recorder; `events` are what it has to tell."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(Recorder(**answers))
        self.events: list[KVCacheEvent] = []
        self.apply(NewRequest("r", (1, 2)))

    def new_request(self, operation: NewRequest) -> Asked:
        del operation
        return Asked()

    def continue_request(self, request: Asked, operation: ContinueRequest) -> None:
        request.continued = operation.tokens

    def meaning(self, error: Exception) -> str | None:
        return "Mistake" if isinstance(error, ValueError) else None

    def drain_events(self) -> list[KVCacheEvent]:
        events, self.events = self.events, []
        return events

    def view(self) -> View:
        raise NotImplementedError


FOUND = Found([3, 0], [4])

CALLS: list[tuple[Operation, str, Any, tuple[Any, ...], Observation]] = [
    (CacheBlocks("r", 8), "cache_blocks", None, ("request", 8), Observation()),
    (RemoveSkipped("r", 8), "remove_skipped_blocks", None, ("r", 8), Observation()),
    (Free("r"), "free", None, ("request",), Observation()),
    (Evict((3, 1, 3)), "evict_blocks", None, ({1, 3},), Observation()),
    (Reset(), "reset_prefix_cache", False, (), Observation(done=False)),
    (NewStep(), "new_step_starts", None, (), Observation()),
    (TakeNewBlockIds(), "take_new_block_ids", [4, 2], (), Observation(numbers=(4, 2))),
    (CommonPrefix("r"), "get_num_common_prefix_blocks", [1, 0], ("r",), Observation(numbers=(1, 0))),
    (GetBlocks("r"), "get_blocks", FOUND, ("r",), Observation(blocks=((3, 0), (4,)))),
    (
        TakeStats(),
        "make_prefix_cache_stats",
        PrefixCacheStats(reset=True, queries=9),
        (),
        Observation(stats=(True, 0, 9, 0, 0, 0, 0)),
    ),
    (TakeStats(), "make_prefix_cache_stats", None, (), Observation()),
    (
        Lookup("r"),
        "get_computed_blocks",
        (FOUND, 8),
        ("request",),
        Observation(blocks=((3, 0), (4,)), tokens=8),
    ),
    (
        Allocate("r", 8, 3, None, 2, 5, True, 6, True, 7),  # noqa: FBT003
        "allocate_slots",
        FOUND,
        ("request", 3, 0, None, 2, 5, True, 6, True, 7),
        Observation(blocks=((3, 0), (4,))),
    ),
    (
        Allocate("r", 8, 3),
        "allocate_slots",
        None,
        ("request", 3, 0, None, 0, 0, False, 0, False, 0),
        Observation(blocks=None),
    ),
]


@pytest.mark.parametrize(
    ("operation", "name", "answer", "arguments", "observation"), CALLS, ids=[f"{c[0]}" for c in CALLS]
)
def test_an_operation_is_one_call(
    operation: Operation, name: str, answer: Any, arguments: tuple[Any, ...], observation: Observation
) -> None:
    session = RecordedSession(**{name: answer})
    assert session.apply(operation) == observation
    told = tuple(session.requests["r"] if argument == "request" else argument for argument in arguments)
    assert session.manager.calls == [(name, *told)]


@pytest.mark.parametrize("operation", [TakeEvents(), StepEnds()], ids=str)
def test_what_happens_outside_the_manager_is_no_call(operation: Operation) -> None:
    session = RecordedSession()
    assert session.apply(operation) == Observation()
    assert session.manager.calls == []


def test_the_caller_tells_how_far_it_has_come_and_how_often_it_was_preempted() -> None:
    session = RecordedSession(get_computed_blocks=(FOUND, 8), allocate_slots=None)
    session.apply(Lookup("r", preemptions=2))
    assert session.requests["r"].num_preemptions == 2
    session.apply(Allocate("r", 12, 1))
    assert session.requests["r"].num_computed_tokens == 12


def test_an_allocation_uses_the_very_blocks_of_the_last_lookup_of_its_request() -> None:
    session = RecordedSession(get_computed_blocks=(FOUND, 8), allocate_slots=FOUND)
    session.apply(Lookup("r"))
    session.apply(NewRequest("other", ()))
    session.manager.answers["get_computed_blocks"] = (Found([9]), 4)
    session.apply(Lookup("other"))
    session.apply(Allocate("r", 0, 3, hit=8))
    _, _, new, length, blocks, *_ = session.manager.calls[-1]
    assert (new, length) == (3, 8)
    assert blocks is FOUND


def test_an_allocation_of_a_lookup_that_was_not_made_is_no_callers_mistake_of_the_manager() -> None:
    with pytest.raises(LookupError):
        RecordedSession().apply(Allocate("r", 0, 3, hit=8))


def test_outputs_and_a_sessions_next_input_reach_the_request() -> None:
    session = RecordedSession()
    session.apply(AppendTokens("r", (5, 6)))
    session.apply(ContinueRequest("r", 3, (7,)))
    request = session.requests["r"]
    assert (request.appended, request.num_computed_tokens, request.continued) == ([5, 6], 3, (7,))
    assert session.manager.calls == []


def test_a_callers_mistake_is_told_by_its_meaning() -> None:
    session = RecordedSession(free=ValueError("whatever the words"))
    assert session.apply(Free("r")) == Observation(error="Mistake")


def test_anything_else_that_is_raised_is_a_defect_and_comes_through() -> None:
    session = RecordedSession(free=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        session.apply(Free("r"))


def removed(number: int, group: int = 0) -> BlockRemoved:
    return BlockRemoved((number,), "GPU", GroupId(group))


def test_events_are_taken_behind_every_operation_in_their_order() -> None:
    session = RecordedSession(reset_prefix_cache=True)
    session.events = [removed(2), removed(1)]
    assert session.apply(Reset()) == Observation(done=True, events=(removed(2), removed(1)))
    assert session.apply(TakeEvents()) == Observation()


def test_every_result_is_kept_when_there_are_events() -> None:
    for operation, name, answer, _, expected in CALLS:
        if not isinstance(operation, Evict):
            session = RecordedSession(**{name: answer})
            session.events = [removed(1)]
            seen = session.apply(operation)
            for field in ("blocks", "tokens", "done", "numbers", "stats"):
                assert getattr(seen, field) == getattr(expected, field), operation


def test_the_events_of_an_eviction_by_hand_have_no_order() -> None:
    session = RecordedSession()
    session.events = [removed(2, 1), removed(3), removed(1)]
    assert session.apply(Evict((1, 2, 3))).events == (removed(1), removed(3), removed(2, 1))


def test_the_prefix_map_is_pictured_in_an_order_of_its_own() -> None:
    assert picture_map([(b"a", [3]), (b"b", [1, 2])]) == picture_map([(b"b", [1, 2]), (b"a", [3])])


def test_statistics_are_plain_numbers_and_may_be_off() -> None:
    stats = PrefixCacheStats(False, 1, 2, 3, 4, 5, 6)  # noqa: FBT003
    assert stats_of(stats) == (False, 1, 2, 3, 4, 5, 6)
    assert stats_of(None) is None


# The reference behind a session

FULL = Configuration((FullGroup(2),), 9, 64, 2, 2)


def test_a_new_request_carries_all_that_identifies_its_content() -> None:
    session = ReferenceSession(FULL)
    session.apply(
        NewRequest(
            "r", (0, 0), salt="s", lora="l", items=(Item("a", 0, 2),), embeds=b"12345678", skip_reading=True
        )
    )
    request: Request = session.requests["r"]
    assert request.lora_request is not None
    assert request.prompt_embeds is not None
    assert (request.cache_salt, request.lora_request.lora_name) == ("s", "l")
    assert [(f.identifier, f.mm_position.offset, f.mm_position.length) for f in request.mm_features] == [
        ("a", 0, 2)
    ]
    assert (request.prompt_embeds.raw(1, 2), request.skip_reading_prefix_cache) == (b"5678", True)


def test_no_adapter_has_no_name() -> None:
    session = ReferenceSession(FULL)
    session.apply(NewRequest("r", (1,), lora=""))
    assert session.requests["r"].lora_request is None


def test_a_request_without_blocks_has_no_place_in_the_picture() -> None:
    session = ReferenceSession(FULL)
    for operation in (NewRequest("r", (1, 2, 3)), NewStep(), Allocate("r", 0, 3)):
        assert "r" not in session.view().tables
        session.apply(operation)
    assert session.view().tables == {"r": [[1, 2]]}
    session.apply(Free("r"))
    assert session.view().tables == {}
    assert session.view().handled == {}
