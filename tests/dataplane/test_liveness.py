"""Leaks, requests that cannot end, and refusals that last: each made on purpose, and seen."""

import pytest

from kvref.compare import Difference
from kvref.dataplane.liveness import Liveness
from kvref.operations import (
    Allocate,
    CacheBlocks,
    ChunkedGroup,
    Configuration,
    Free,
    FullGroup,
    Group,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    Reset,
    SinkGroup,
    StepEnds,
)
from kvref.targets.reference import ReferenceSession
from tests.dataplane.story import configuration

GRANTED, REFUSED = Observation(blocks=((1,),)), Observation()
PROMPT = NewRequest("a", tuple(range(8)))


def follow(
    *told: tuple[Operation, Observation], of: Configuration | None = None
) -> tuple[Liveness, list[Difference]]:
    liveness = Liveness(of or configuration(FullGroup(4)), ReferenceSession)
    return liveness, [wrong for one in told for wrong in liveness.sees(*one)]


def silent(*operations: Operation) -> list[tuple[Operation, Observation]]:
    return [(operation, Observation()) for operation in operations]


ADMITTED = [*silent(PROMPT, NewStep()), (Lookup("a"), Observation(tokens=0))]


def test_a_reset_that_is_refused_while_nobody_holds_a_block_tells_of_a_leak() -> None:
    freed = [*ADMITTED, (Allocate("a", 0, 4, hit=0), GRANTED), *silent(StepEnds(), Free("a"))]
    _, wrong = follow(*freed, (Reset(), Observation(done=False)))
    assert [one.what for one in wrong] == ["reset, while no request holds a block"]
    assert follow(*freed, (Reset(), Observation(done=True)))[1] == []


def test_a_reset_may_be_refused_while_a_request_or_a_sink_holds_blocks() -> None:
    held = [*ADMITTED, (Allocate("a", 0, 4, hit=0), GRANTED), (Reset(), Observation(done=False))]
    assert follow(*held)[1] == []
    sink = configuration(SinkGroup(4, sink=4))
    assert follow((Reset(), Observation(done=False)), of=sink)[1] == []


def test_a_request_that_was_admitted_whole_must_get_its_slots_when_it_is_alone() -> None:
    first = (Allocate("a", 0, 4, hit=0, must_fit=True), GRANTED)
    refused = [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    assert [one.what for one in follow(*ADMITTED, first, *refused)[1]] == [
        "token 7 of a, admitted whole, alone"
    ]


def test_without_the_gate_or_with_another_that_holds_blocks_it_may_be_refused() -> None:
    ungated = (Allocate("a", 0, 4, hit=0), GRANTED)
    refused = [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    assert follow(*ADMITTED, ungated, *refused)[1] == []
    other = [*silent(NewRequest("b", (1, 2))), (Lookup("b"), Observation(tokens=0))]
    second = [*ADMITTED, (Allocate("a", 0, 4, hit=0, must_fit=True), GRANTED), *other]
    assert follow(*second, (Allocate("b", 0, 2, hit=0), GRANTED), *refused)[1] == []


def test_as_specified_the_gate_of_an_aligned_recurrent_group_may_be_short() -> None:
    aligned = configuration(MambaGroup(4, "align"))
    told = [*ADMITTED, (Allocate("a", 0, 4, hit=0, must_fit=True), GRANTED)]
    told += [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    for as_specified in (True, False):
        liveness = Liveness(aligned, ReferenceSession, as_specified=as_specified)
        wrong = [one for operation in told for one in liveness.sees(*operation)]
        assert len(wrong) == (not as_specified)


def test_a_hit_is_not_negative() -> None:
    looked_up = (Lookup("a"), Observation(tokens=-4))
    assert [one.actual for one in follow(*silent(PROMPT, NewStep()), looked_up)[1]] == ["-4"]


def test_after_slots_for_drafts_it_may_be_refused() -> None:
    first = (Allocate("a", 0, 4, hit=0, must_fit=True, lookahead=2), GRANTED)
    refused = [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    assert follow(*ADMITTED, first, *refused)[1] == []


def test_what_a_new_manager_grants_must_not_be_refused_for_ever() -> None:
    liveness, wrong = follow(*ADMITTED, (Allocate("a", 0, 8, hit=0), REFUSED))
    assert wrong == []
    assert [one.what for one in liveness.ends()] == ["admission of a, alone"]


def test_what_a_new_manager_refuses_may_be_refused() -> None:
    small = configuration(FullGroup(4), num_blocks=2)
    liveness, _ = follow(*ADMITTED, (Allocate("a", 0, 8, hit=0), REFUSED), of=small)
    assert liveness.ends() == []


class Grants(ReferenceSession):
    """Has slots for anything."""

    def apply(self, operation: Operation) -> Observation:
        return GRANTED if isinstance(operation, Allocate) else super().apply(operation)


@pytest.mark.parametrize(
    ("group", "told"), [(ChunkedGroup(1, 1), []), (FullGroup(1), ["admission of a, alone"])]
)
def test_where_a_new_manager_hits_what_no_step_reads_it_is_no_measure(group: Group, told: list[str]) -> None:
    liveness = Liveness(configuration(group, num_blocks=2), Grants)
    for operation in (NewRequest("a", (0, 0)), NewStep(), Allocate("a", 0, 2)):
        assert liveness.sees(operation, REFUSED) == []
    assert [one.what for one in liveness.ends()] == told


def test_a_hit_leaves_a_token_to_compute() -> None:
    of_all = (Lookup("a"), Observation(tokens=8))
    _, wrong = follow(*silent(PROMPT, NewStep()), of_all)
    assert wrong == [Difference("hit length of a", "at most 7", "8")]
    _, fine = follow(*silent(PROMPT, NewStep()), (Lookup("a"), Observation(tokens=7)))
    assert fine == []


def test_what_a_new_manager_grants_must_not_be_refused_behind_a_hit() -> None:
    looked_up = (Lookup("a"), Observation(tokens=4))
    refused = (Allocate("a", 0, 4, hit=4), REFUSED)
    liveness, wrong = follow(*silent(PROMPT, NewStep()), looked_up, refused)
    assert wrong == []
    assert [one.what for one in liveness.ends()] == ["admission of a, alone"]


def test_a_state_that_a_load_has_brought_in_this_step_may_not_be_hit_in_it() -> None:
    both = silent(PROMPT, NewRequest("b", tuple(range(9))), NewStep())
    load = (Allocate("b", 0, 0, hit=0, external=8, delay=True), GRANTED)
    arrives = silent(StepEnds(), NewStep(), CacheBlocks("b", 8), Free("b"))
    asked: list[tuple[Operation, Observation]] = [
        (Lookup("a"), Observation(tokens=4)),
        (Allocate("a", 0, 4, hit=4), REFUSED),
    ]
    first = (Lookup("b"), Observation(tokens=0))
    assert follow(*both, first, load, *arrives, *asked)[0].ends() == []
    assert follow(*both, first, load, *arrives, *silent(NewStep()), *asked)[0].ends() != []


def test_a_request_that_runs_alone_gets_what_a_new_manager_would_give_it() -> None:
    first = (Allocate("a", 0, 4, hit=0), GRANTED)
    refused = [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    liveness, wrong = follow(*ADMITTED, first, *refused)
    assert wrong == []
    assert [one.what for one in liveness.ends()] == ["token 7 of a, alone"]
    small = configuration(FullGroup(4), num_blocks=2)
    assert follow(*ADMITTED, first, *refused, of=small)[0].ends() == []


def test_the_states_that_an_aligned_table_goes_on_from_are_allowed_for() -> None:
    first = (Allocate("a", 0, 4, hit=0), GRANTED)
    refused = [*silent(StepEnds(), NewStep()), (Allocate("a", 4, 4), REFUSED)]
    for blocks, is_wrong in ((3, False), (4, True)):
        aligned = configuration(MambaGroup(4, "align"), num_blocks=blocks)
        assert bool(follow(*ADMITTED, first, *refused, of=aligned)[0].ends()) == is_wrong
