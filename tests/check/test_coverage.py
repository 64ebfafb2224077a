"""What came about in a check is counted, and what should have, and never did, is told."""

from collections import Counter
from collections.abc import Sequence

import pytest

from kvref.check.configurations import UNASKED, Size, scope_called
from kvref.check.coverage import (
    BY_HAND,
    EVENTS,
    EVICTION,
    HIT,
    LATE_LOAD,
    LOAD,
    OVERLAP,
    PREEMPTION,
    REFUSAL,
    REJECTION,
    RELEASE,
    RESET,
    SHARED,
    STATE,
    TWICE,
    UNKEPT,
    Watch,
    due,
)
from kvref.check.moves import Leave, Move, operation_of
from kvref.check.playing import start
from kvref.check.run import run
from kvref.operations import (
    Allocate,
    AppendTokens,
    Evict,
    Free,
    Lookup,
    NewRequest,
    NewStep,
    RemoveSkipped,
    Reset,
    StepEnds,
)
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

FEW = Size(letters=1, by_hand=False)


def _counted(name: str, moves: Sequence[Move], size: Size = UNASKED) -> Counter[str]:
    """What comes about in these moves."""
    scope = scope_called(name, size)
    playing, watch = start(scope, ReferenceSession, OptimizedSession), Watch(scope)
    for move in moves:
        assert playing.scheduler.violation(operation_of(move)) is None
        watch.stands(playing.scheduler)
        before = playing.witness.last
        made = playing.make(move)
        assert not made.wrong
        watch.sees(move, made.observation, before, playing.witness.last)
    return watch.counts


FIRST: list[Move] = [NewRequest("r0", (0, 0)), NewStep(), Allocate("r0", 0, 2), StepEnds()]
"""A request whose prompt is computed."""


def _second(*tokens: int, hit: int = 0) -> list[Move]:
    """Another one, which looks for what it can read."""
    arrival: list[Move] = [NewRequest("r1", tokens), NewStep(), Lookup("r1")]
    return [*arrival, Allocate("r1", 0, len(tokens) - hit, hit=hit)]


@pytest.mark.parametrize(
    ("name", "moves", "expected"),
    [
        ("full", FIRST, set()),
        ("full", [*FIRST, Free("r0")], {PREEMPTION}),
        ("full", [*FIRST, Leave("r0")], set()),
        ("full", [*FIRST, Leave("r0"), *_second(0, 1, hit=1)], {HIT, EVICTION}),
        ("full", [*FIRST, Leave("r0"), *_second(1)], {EVICTION}),
        ("full/two", [*FIRST, *_second(0)], {REFUSAL}),
        ("full/two", [*FIRST, Evict((2,)), *_second(0, 0, hit=1)], {BY_HAND, REFUSAL}),
        ("full", [*FIRST, Evict((1,)), Evict((1,))], {BY_HAND}),
        ("full", [*FIRST, Reset()], set()),
        ("full", [*FIRST, Leave("r0"), Reset(), Reset()], {RESET}),
        ("full", [NewStep(), NewStep()], {OVERLAP}),
        ("sliding", [*FIRST, RemoveSkipped("r0", 2)], {RELEASE}),
        ("full+connector", [*FIRST[:2], Allocate("r0", 0, 1, external=1)], {LOAD}),
        ("full+connector", [*FIRST[:2], Allocate("r0", 0, 0, external=1, delay=True)], {LATE_LOAD}),
    ],
)
def test_what_a_move_brings_about_is_counted(name: str, moves: Sequence[Move], expected: set[str]) -> None:
    assert {*_counted(name, moves)} == expected


def test_content_that_two_requests_read_or_hold_is_counted() -> None:
    room = Size(blocks=4)
    assert {*_counted("full/two", [*FIRST, *_second(0, 0, hit=1)], room)} == {HIT, SHARED, TWICE}
    unasked: list[Move] = [NewRequest("r1", (0,)), NewStep(), Allocate("r1", 0, 1)]
    assert {*_counted("full/two", [*FIRST, *unasked], room)} == {TWICE}


def test_a_hit_that_reads_no_block_is_none() -> None:
    """Behind a whole chunk nothing of it is read, so it need not be cached."""
    first: list[Move] = [NewRequest("r0", (0,)), NewStep(), Allocate("r0", 0, 1), StepEnds(), Leave("r0")]
    counts = _counted("chunked", [*first, *_second(1, 1, 1, hit=2)], Size(tokens=4, blocks=1))
    assert {*counts} == {EVICTION}


def test_a_state_that_goes_on_in_another_block_is_counted() -> None:
    room = Size(tokens=4, blocks=4)
    moves = [*FIRST, AppendTokens("r0", (0,)), NewStep(), Allocate("r0", 2, 1)]
    assert _counted("mamba-align", moves, room)[STATE] == 1
    assert STATE not in _counted("mamba-align", FIRST, room)
    assert STATE not in _counted("full", moves, room)


def test_drafts_that_are_not_accepted_are_counted() -> None:
    room = Size(tokens=5, blocks=6)
    verified: list[Move] = [
        NewRequest("r0", (0,)),
        NewStep(),
        Allocate("r0", 0, 1, lookahead=1),
        StepEnds(),
        AppendTokens("r0", (0,)),
        NewStep(),
        Allocate("r0", 1, 2, lookahead=1),
        StepEnds(),
    ]
    assert REJECTION in _counted("full+eagle", [*verified, AppendTokens("r0", (0,))], room)
    assert REJECTION not in _counted("full+eagle", [*verified, AppendTokens("r0", (0, 0))], room)


def test_full_blocks_that_retention_does_not_keep_are_counted() -> None:
    moves: list[Move] = [NewRequest("r0", (0, 0, 0)), NewStep(), Allocate("r0", 0, 3)]
    room = Size(tokens=5, blocks=4)
    assert UNKEPT in _counted("sliding+retention", moves, room)
    assert UNKEPT not in _counted("sliding", moves, room)


@pytest.mark.parametrize("name", ["full+mamba", "full/ahead", "cross/two", "full+cross+no-caching"])
def test_an_exhausted_scope_shows_all_that_it_is_about(name: str) -> None:
    (result,) = run([name], asked=FEW)
    assert (result.told, result.missing) == ("exhausted", ())
    assert due(scope_called(name, FEW)) <= {*result.shown} <= {*EVENTS}


def test_a_scope_too_small_for_what_it_is_about_is_told() -> None:
    """Two tokens in two groups take four blocks: with three there is neither a hit nor a window that slides."""
    (result,) = run(["full+sliding"], asked=Size(blocks=3, letters=1, by_hand=False))
    assert result.missing == (HIT, RELEASE)
    assert result.told == "exhausted, without any hit, block left behind"


def test_what_is_due_follows_from_the_configuration() -> None:
    assert due(scope_called("full+no-caching")) == {PREEMPTION}
    assert due(scope_called("full/two")) == {PREEMPTION, HIT, EVICTION, REFUSAL, SHARED, TWICE}
    assert {STATE, RELEASE, REJECTION} <= due(scope_called("mamba+drafts"))
    assert {LOAD, LATE_LOAD, BY_HAND, RESET} <= due(scope_called("full+connector", Size(by_hand=True)))
    assert RESET not in due(scope_called("sink"))
    assert UNKEPT in due(scope_called("sliding+retention"))
    assert OVERLAP in due(scope_called("full/ahead"))
