"""A trace on a target beside the reference, step by step."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
import pytest

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.explain.exact import in_words, tell
from kvref.explain.page import page_data
from kvref.explain.pool import Contents
from kvref.explain.rules import Known
from kvref.explain.sentences import answered
from kvref.explain.story import Story
from kvref.operations import Evict, NewRequest, NewStep, SinkGroup, Trace
from kvref.replay import read_trace
from kvref.targets import vllm
from kvref.targets.base import CaseResult, picture_case
from kvref.targets.deviations import Deviation, Verdict
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget
from tests.explain.stories import FULL, STEPS, TRACE, diverging, healthy, told_of_the_reference
from tests.fuzz.faults import CountsAQueryTooMany, FaultyTarget, FreesInReverse, LeaksABlock

TRACES = Path(vllm.__file__).parent / "traces"


@cache
def q_1(target: VllmTarget) -> Story:
    return tell("Q-1.json", read_trace(TRACES / "Q-1.json"), ReferenceSession, target)


def test_a_healthy_story_has_every_step_as_the_reference_was() -> None:
    story = healthy()
    assert story.wrong is None
    assert story.untold == 0
    pictures = picture_case(ReferenceSession, story.trace)
    assert [step.seen.view for step in story.steps] == [picture.view for picture in pictures]
    assert [step.seen.observation for step in story.steps] == [p.observation for p in pictures]
    assert all(step.expected is None and step.violations == () for step in story.steps)


def test_a_story_ends_with_the_first_step_that_differs() -> None:
    story = diverging()
    assert story.headline == "faulty differs from the reference at operation 5"
    assert story.wrong is not None
    assert (story.wrong.at, len(story.steps), story.untold) == (5, 6, 1)
    assert story.wrong.differences == (
        Difference("free queue", "[4, 5, 6, 7, 8, 3, 2, 1]", "[4, 5, 6, 7, 8, 1, 2, 3]"),
    )
    last = story.steps[-1]
    assert last.expected is not None
    assert last.expected.view is not None
    assert last.seen.view is not None
    assert last.expected.view.free_queue == [4, 5, 6, 7, 8, 3, 2, 1]
    assert last.seen.view.free_queue == [4, 5, 6, 7, 8, 1, 2, 3]


def test_broken_invariants_are_told_with_the_step_and_name_the_rules() -> None:
    story = tell("t", TRACE, ReferenceSession, FaultyTarget(LeaksABlock))
    assert "nothing-leaks" in [one.invariant for one in story.steps[-1].violations]
    assert story.wrong is not None
    assert "INV-1" in [rule.id for rule in story.wrong.rules]


def test_where_no_invariant_broke_the_rules_are_those_that_decide_what_differs() -> None:
    story = tell("t", TRACE, ReferenceSession, FaultyTarget(CountsAQueryTooMany))
    assert story.wrong is not None
    assert story.steps[-1].violations == ()
    assert [(rule.id, rule.why) for rule in story.wrong.rules] == [("STATS-1", "decides: stats")]
    (told,) = story.wrong.differences
    assert told == Difference("statistics", "lookups 1, tokens asked for 9", "lookups 1, tokens asked for 10")


def test_a_known_deviation_is_named_with_the_rule_that_it_departs_from() -> None:
    known = Deviation("Q-0", "FREE-3", ("1",), Verdict.COSMETIC, "turned", lambda _: True, lambda _: True)
    story = tell("t", TRACE, ReferenceSession, FaultyTarget(FreesInReverse, (known,)))
    assert story.wrong is not None
    assert story.wrong.known == Known("Q-0", "cosmetic", "turned", "FREE-3")
    assert [rule.id for rule in story.wrong.rules] == ["FREE-3"]
    assert story.wrong.rules[0].text == "Groups are freed one after another, in order."


def test_keys_are_named_by_their_tokens_but_where_only_the_keys_differ() -> None:
    contents = Contents(FULL, {b"mine-key": "tokens 0 of r", b"your-key": "tokens 0 of r", b"another!": "x"})
    step = diverging().steps[0]

    def told(mine: bytes, yours: bytes) -> tuple[str, str]:
        sides = [f"{key[:4].hex()}…{key[-4:].hex()}" for key in (mine, yours)]
        (difference,) = in_words([Difference("key of block 1", *sides)], step, contents)
        return difference.expected, difference.actual

    assert told(b"mine-key", b"another!") == ("(tokens 0 of r)", "(x)")
    mine, yours = told(b"mine-key", b"your-key")
    assert mine != yours
    assert "tokens" not in mine + yours


def test_a_mistake_that_both_refuse_ends_the_story_in_agreement() -> None:
    story = told_of_the_reference(Trace(FULL, (NewStep(), Evict((99,)), NewStep())))
    assert story.wrong is None
    assert [answered(step.operation, step.seen.observation) for step in story.steps] == [
        "",
        "It raises UnknownBlockError.",
    ]
    assert story.untold == 1


class RefusesSinks(FaultyTarget):
    """Does not build what the reference builds."""

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        return [CaseResult(refused="no sinks") for _ in traces]


SINK = msgspec.structs.replace(FULL, groups=(SinkGroup(4, 4),))


def test_where_only_the_target_refuses_the_configuration_the_reference_is_told() -> None:
    story = tell("t", Trace(SINK, STEPS), ReferenceSession, RefusesSinks(FreesInReverse))
    assert story.headline == "faulty differs from the reference in the construction"
    assert story.wrong is not None
    assert story.wrong.differences == (Difference("construction", "built", "no sinks"),)
    assert [rule.id for rule in story.wrong.rules] == ["CFG-3"]
    assert (story.teller, len(story.steps)) == ("reference", len(STEPS))


def test_a_configuration_that_both_refuse_has_no_steps() -> None:
    refused = msgspec.structs.replace(FULL, hash_block_size=3)
    story = told_of_the_reference(Trace(refused, STEPS))
    assert story.wrong is None
    assert story.steps == ()
    assert story.headline == "reference and the reference refuse this configuration"


def test_a_part_of_a_story_is_named_by_lines() -> None:
    story = diverging()
    assert story.between(None, None) == range(6)
    assert story.between(2, 4) == range(2, 5)
    assert story.between(5, None) == range(5, 6)
    with pytest.raises(UserError, match="told up to operation 5: give a lower --from"):
        story.between(6, None)


class FallsSilent(FaultyTarget):
    """Gives no answer to the sixth operation; asked for it again, it has died."""

    def __init__(self, *, dies: bool) -> None:
        super().__init__(ReferenceSession)
        self.dies = dies
        self.asked = 0

    def run(self, traces: Sequence[Trace]) -> list[CaseResult]:
        return [CaseResult(result.digests[:5]) for result in super().run(traces)]

    def picture(self, trace: Trace) -> list[Picture]:
        self.asked += len(trace.operations) > 5
        if self.dies and self.asked > 1 and len(trace.operations) > 5:
            raise UserError("the driver has died")
        return super().picture(trace)[:5]


@pytest.mark.parametrize("dies", [False, True])
def test_a_target_that_gives_no_answer_is_told_beside_what_was_due(dies: bool) -> None:
    story = tell("t", TRACE, ReferenceSession, FallsSilent(dies=dies))
    assert story.wrong is not None
    assert story.wrong.at == 5
    last = story.steps[-1]
    assert (last.seen.observation, last.seen.view) == (None, None)
    assert last.expected is not None
    assert last.expected.view is not None
    data = page_data(story)
    assert data.steps[5].seen.answer == "No answer."
    assert data.steps[5].expected is not None


def test_an_empty_trace_is_an_empty_story() -> None:
    story = told_of_the_reference(Trace(FULL, ()))
    assert (story.steps, story.between(None, None)) == ((), range(0))
    assert told_of_the_reference(Trace(FULL, (NewRequest("r", (1,)),))).headline.endswith("in 1 operation")


@pytest.mark.vllm
def test_the_worst_known_deviation_is_told_on_the_real_vllm(vllm_target: VllmTarget) -> None:
    story = q_1(vllm_target)
    assert story.wrong is not None
    assert story.wrong.known is not None
    assert (story.wrong.at, story.wrong.known.id) == (4, "Q-1")
    assert [rule.id for rule in story.wrong.rules] == ["EAGLE-1", "HIT-7", "Q-1"]
    assert Difference("hit length in tokens", "0", "1") in story.wrong.differences
    assert "hit-covers-every-group" in [one.invariant for one in story.steps[4].violations]


@pytest.mark.vllm
@pytest.mark.parametrize("path", sorted(TRACES.glob("*.json")), ids=lambda path: path.stem)
def test_every_catalogued_deviation_is_told_with_its_rules(path: Path, vllm_target: VllmTarget) -> None:
    story = tell(path.name, read_trace(path), ReferenceSession, vllm_target)
    assert story.wrong is not None
    assert story.wrong.known is not None
    assert story.wrong.known.id == path.stem
    assert story.wrong.rules[-1].id == path.stem
    assert len(story.wrong.rules) >= 2
