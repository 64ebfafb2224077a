"""The transitions of the protocol are told apart, and the page misses none that a legal caller makes."""

from pathlib import Path

import pytest

from kvref.fuzz.cases import draw_case
from kvref.fuzz.legal import MOST_DRAFTS
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
)
from kvref.scheduler.legality import follow
from kvref.scheduler.situations import Follower, Transition
from kvref.scheduler.unseen import UNSEEN
from kvref.targets.reference import ReferenceSession
from tests.rules_index import ROOT

CONFIGURATION = Configuration((FullGroup(4),), 32, 64, 4, 4)
PAGE = ROOT / "docs" / "protocol.md"
GRANTED, REFUSED = Observation(blocks=((1,),)), Observation()
CASES, LENGTH = 120, 60


def listed(page: Path) -> set[Transition]:
    """The transitions that the page calls seen."""
    table = page.read_text(encoding="utf-8").partition("## Legal")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")]
    return {(row[1].strip(), row[2].strip()) for row in rows}


def last(*performed: tuple[Operation, Observation]) -> str:
    """The situation of the last of some operations."""
    follower = Follower(64, MOST_DRAFTS)
    situation = ""
    for operation, seen in performed:
        assert follower.scheduler.violation(operation) is None
        _, situation = follower.follow(operation, seen)
    return situation


def admitted(new: int, **more: int | bool) -> list[tuple[Operation, Observation]]:
    return [
        (NewRequest("r", tuple(range(10))), REFUSED),
        (NewStep(), REFUSED),
        (Lookup("r"), Observation(blocks=((),), tokens=4)),
        (Allocate("r", 0, new, hit=4, **more), GRANTED),  # type: ignore[arg-type]
    ]


END = (StepEnds(), REFUSED)


@pytest.mark.parametrize(
    ("performed", "situation"),
    [
        (admitted(6), "admission, a hit"),
        (admitted(3, external=3), "admission, external tokens now"),
        (admitted(0, external=6, delay=True), "admission, external tokens later"),
        ([*admitted(6), (Free("r"), REFUSED)], "running, in the step just launched"),
        ([*admitted(6), END, (Free("r"), REFUSED)], "running, outputs due"),
        ([*admitted(6), END, (AppendTokens("r", (7,)), REFUSED)], "one token"),
        (
            [
                *admitted(6),
                (NewStep(), REFUSED),
                (Free("r"), REFUSED),
                END,
                (AppendTokens("r", (7,)), REFUSED),
            ],
            "late: preempted meanwhile",
        ),
        ([*admitted(0, external=6, delay=True), END, (CacheBlocks("r", 8), REFUSED)], "loaded in part"),
        (
            [*admitted(2, external=3), END, (NewStep(), REFUSED), (Allocate("r", 4, 6), GRANTED)],
            "running, computed again: a load was lost",
        ),
        (
            [*admitted(2), END, (NewStep(), REFUSED), (Allocate("r", 6, 2), REFUSED)],
            "running, a chunk, refused",
        ),
    ],
)
def test_a_situation_is_told(performed: list[tuple[Operation, Observation]], situation: str) -> None:
    assert last(*performed) == situation


def test_the_first_illegal_call_ends_what_is_followed() -> None:
    performed = [*admitted(6), (Free("r"), REFUSED), (Lookup("r"), REFUSED), (Allocate("r", 0, 1), GRANTED)]
    followed = follow(CONFIGURATION, performed, 0)
    assert followed.breach is not None
    assert (followed.breach.at, "PROTO-13" in followed.breach.why) == (6, True)
    assert followed.transitions.total() == 6


def test_the_page_has_every_transition_that_the_fuzzer_makes() -> None:
    known = listed(PAGE) | UNSEEN.keys()
    made: set[Transition] = set()
    for number in range(CASES):
        trace = draw_case(7, "clean", number, LENGTH, ReferenceSession, ()).trace
        session = ReferenceSession(trace.configuration)
        performed = [(operation, session.apply(operation)) for operation in trace.operations]
        followed = follow(trace.configuration, performed, MOST_DRAFTS)
        assert followed.breach is None
        made |= followed.transitions.keys()
    assert len(made) > 30
    assert made <= known


def test_what_was_seen_is_not_called_unseen_and_the_other_way_round() -> None:
    page = PAGE.read_text(encoding="utf-8")
    _, _, rest = page.partition("## Legal, and not seen")
    unseen = rest.partition("## The workloads")[0]
    for transition in UNSEEN:
        row = f"| {transition[0]} | {transition[1]} |"
        assert (row in unseen) == (transition not in listed(PAGE))
