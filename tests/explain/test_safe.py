"""A trace at level safe: the target alone, up to the step that reads what is not there."""

from pathlib import Path

import pytest

from invariants.view import View
from kvref.errors import UnpicturableError, UserError
from kvref.explain.page import page_data
from kvref.explain.safe import tell_safe
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
    Trace,
)
from kvref.replay import read_trace
from kvref.survey.catalogue import TRACES
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget
from tests.explain.stories import optimized
from tests.fuzz.faults import FaultyTarget, FreesInReverse

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
TRACE = Trace(
    FULL,
    (
        NewRequest("r", tuple(range(9))),
        NewStep(),
        Lookup("r"),
        Allocate("r", 0, 9, hit=0),
        StepEnds(),
        NewStep(),
        Free("r"),
    ),
)


def test_a_trace_that_reads_well_is_told_to_its_end() -> None:
    story = tell_safe("t", TRACE, optimized())
    assert story.wrong is None
    assert story.headline == "optimized: nothing is wrong in 7 operations"
    assert story.untold == 0


def test_a_table_that_was_asked_for_besides_is_told_without_a_line() -> None:
    story = tell_safe("t", TRACE, optimized())
    assert [step.line for step in story.steps] == [0, 1, 2, 3, None, 4, 5, 6]
    assert story.steps[4].operation == GetBlocks("r")
    assert story.between(3, 3) == range(3, 5)


class OneTableForAll(ReferenceSession):
    """Whoever asks for its table is given the same one [INV-5]."""

    def apply(self, operation: Operation) -> Observation:
        seen = super().apply(operation)
        return Observation(blocks=((1, 2, 3),)) if isinstance(operation, GetBlocks) else seen


class Unpicturable(OptimizedSession):
    """Its state cannot be pictured."""

    def view(self) -> View:
        raise UnpicturableError("kept otherwise")


MISREAD = Trace(
    FULL,
    (
        NewRequest("r", tuple(range(9))),
        NewRequest("s", tuple(range(20, 29))),
        NewStep(),
        Allocate("r", 0, 9),
        Allocate("s", 0, 9),
        StepEnds(),
    ),
)


def test_a_misread_is_told_with_its_rule_and_its_block() -> None:
    target = InProcessTarget("blind", OneTableForAll)
    story = tell_safe("t", MISREAD, target)
    assert story.wrong is not None
    assert story.headline == "blind is wrong at operation 5"
    assert story.sides == ("due", "blind")
    assert "PROTO-18" in [rule.id for rule in story.wrong.rules]
    assert story.wrong.differences[0].what == "r reads token 0 in group 0 (full): block 1"
    assert story.wrong.blocks == {1}
    data = page_data(story)
    assert data.wrong_at == 7  # two tables were asked for besides
    assert data.steps[7].seen.named == [1]
    assert data.steps[7].broken[0].statement == "due: token 0 of r"


def test_a_state_that_cannot_be_pictured_is_left_out() -> None:
    story = tell_safe("t", TRACE, InProcessTarget("blurred", Unpicturable))
    assert all(step.seen.view is None for step in story.steps)
    data = page_data(story)
    assert not data.is_pictured
    assert [step.seen.answer for step in data.steps][3] == "Granted: group 0: 1\u20133."


def test_a_target_that_cannot_be_asked_step_by_step_is_refused() -> None:
    with pytest.raises(UserError, match="cannot be asked one operation at a time"):
        tell_safe("t", TRACE, FaultyTarget(FreesInReverse))


@pytest.mark.vllm
def test_a_known_wrong_read_of_the_real_vllm_is_named(vllm_target: VllmTarget) -> None:
    story = tell_safe("Q-3.json", read_trace(Path(TRACES) / "Q-3.json"), vllm_target)
    assert story.wrong is not None
    assert story.wrong.known is not None
    assert (story.wrong.known.id, story.wrong.known.verdict) == ("Q-3", "wrong read")
    assert [rule.id for rule in story.wrong.rules] == ["PROTO-18", "Q-3"]
