"""Every catalogued deviation: a minimal trace that shows it, and a near miss that is not excused.

A near miss has the same configuration features and ends with the same kind of operation. There the
real vLLM agrees with the reference, and so another bug would be told.
"""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

import spec
from kvref.compare import first_mismatch
from kvref.fuzz.cases import draw_case
from kvref.judge import replay_to
from kvref.operations import (
    Evict,
    FullGroup,
    Group,
    Lookup,
    MLAGroup,
    NewRequest,
    Operation,
    RemoveSkipped,
    SlidingGroup,
    Trace,
)
from kvref.protocol import Scheduler
from kvref.replay import read_trace, replay
from kvref.targets import vllm
from kvref.targets.base import run_case
from kvref.targets.deviations import Deviation, Situation, Verdict, met_at_construction, met_by
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.deviations import CATALOGUE
from kvref.targets.vllm.target import VllmTarget

TRACES = Path(str(vllm.__file__)).parent / "traces"
RULES = Path(str(spec.__file__)).parent / "RULES.md"
DRAFTS = 2

AT_CONSTRUCTION = [deviation for deviation in CATALOGUE if deviation.at_construction]
AT_AN_OPERATION = [deviation for deviation in CATALOGUE if not deviation.at_construction]


def trace_of(deviation: Deviation) -> Trace:
    return read_trace(TRACES / f"{deviation.id}.json")


def identify(deviation: Deviation) -> str:
    return deviation.id


every_deviation = pytest.mark.parametrize("deviation", CATALOGUE, ids=identify)
every_operational = pytest.mark.parametrize("deviation", AT_AN_OPERATION, ids=identify)
every_constructional = pytest.mark.parametrize("deviation", AT_CONSTRUCTION, ids=identify)


# Near misses


def configured(trace: Trace, **changes: object) -> Trace:
    changed = msgspec.structs.replace(trace.configuration, **changes)
    return msgspec.structs.replace(trace, configuration=changed)


def with_groups(*groups: Group) -> Callable[[Trace], Trace]:
    return lambda trace: configured(trace, groups=groups)


def one_block_more(trace: Trace) -> Trace:
    return configured(trace, num_blocks=trace.configuration.num_blocks + 1)


def edited(trace: Trace, edit: Callable[[Operation], Operation | None]) -> Trace:
    kept = [changed for operation in trace.operations if (changed := edit(operation)) is not None]
    return msgspec.structs.replace(trace, operations=tuple(kept))


def cut_to(length: int) -> Callable[[Trace], Trace]:
    """The looked-up request has so many tokens."""

    def edit_trace(trace: Trace) -> Trace:
        name = next(o.request for o in reversed(trace.operations) if isinstance(o, Lookup))

        def edit(operation: Operation) -> Operation:
            if isinstance(operation, NewRequest) and operation.request == name:
                return msgspec.structs.replace(operation, tokens=operation.tokens[:length])
            return operation

        return edited(trace, edit)

    return edit_trace


def evicting(*blocks: int) -> Callable[[Trace], Trace]:
    """These blocks are evicted before the last operation, and no others."""

    def edit_trace(trace: Trace) -> Trace:
        *before, last = (o for o in trace.operations if not isinstance(o, Evict))
        return msgspec.structs.replace(trace, operations=(*before, *([Evict(blocks)] * bool(blocks)), last))

    return edit_trace


def reserving_none(trace: Trace) -> Trace:
    last = msgspec.structs.replace(trace.operations[-1], reserved=0)
    return msgspec.structs.replace(trace, operations=(*trace.operations[:-1], last))


def skipping(tokens: int) -> Callable[[Trace], Trace]:
    return lambda trace: msgspec.structs.replace(
        trace, operations=(*trace.operations[:-1], RemoveSkipped("a", tokens))
    )


NEAR_MISSES: dict[str, tuple[Callable[[Trace], Trace], ...]] = {
    # The state behind the hit is not cached; the hit is not followed by any token.
    "Q-1": (evicting(3), cut_to(1)),
    # All groups hold as much; the hit is shorter for all; only the first full attention exceeds it.
    "Q-2": (evicting(), cut_to(2), evicting(5, 8)),
    # A free block that nobody hits stands at the front of the queue.
    "Q-3": (one_block_more,),
    "Q-4": (one_block_more,),
    # The window is not longer than the hit; there is no hit to lose.
    "Q-5": (
        with_groups(FullGroup(2), SlidingGroup(1, 3, eagle=True)),
        evicting(1),
        cut_to(3),
    ),
    # The chunk has just begun, or starts with a block.
    "Q-7": (cut_to(3), cut_to(2)),
    "Q-9": (cut_to(1),),
    "Q-16": (reserving_none, one_block_more),
    # The gate's counts differ, on the same side of what is free.
    "Q-17": (one_block_more,),
    "Q-28": (one_block_more,),
    # EAGLE's block is there for both; there is no hit.
    "Q-37": (evicting(8), evicting(), evicting(2), evicting(1, 6)),
    "Q-50": (one_block_more,),
    "Q-51": (one_block_more,),
    # The older state is not past yet, or stands directly before what is past.
    "Q-52": (skipping(3), skipping(5)),
    "Q-54": (one_block_more,),
    "Q-6": (with_groups(FullGroup(1)),),
    "Q-23": (lambda trace: configured(trace, enable_caching=False),),
    "Q-24": (
        with_groups(FullGroup(1), FullGroup(1, heads=2)),
        with_groups(FullGroup(1), MLAGroup(1)),
        lambda trace: configured(trace, enable_caching=False),
    ),
    "Q-49": (
        lambda trace: configured(trace, use_eagle=False),
        lambda trace: configured(trace, enable_caching=False),
    ),
    "Q-53": (
        with_groups(FullGroup(1)),
        lambda trace: configured(trace, enable_caching=False),
        lambda trace: configured(trace, dcp_world_size=1, scheduler_block_size=1, hash_block_size=1),
    ),
}


def near_misses(deviations: list[Deviation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("deviation", "near"),
        [
            pytest.param(deviation, near, id=f"{deviation.id}-{number}")
            for deviation in deviations
            for number, near in enumerate(NEAR_MISSES[deviation.id])
        ],
    )


# The catalogue


def test_each_deviation_has_an_id_of_its_own() -> None:
    assert len({deviation.id for deviation in CATALOGUE}) == len(CATALOGUE)


def test_each_deviation_has_a_trace_and_each_trace_a_deviation() -> None:
    assert {path.stem for path in TRACES.iterdir()} == {deviation.id for deviation in CATALOGUE}


@every_deviation
def test_an_entry_says_what_how_bad_and_where(deviation: Deviation) -> None:
    assert re.fullmatch(r"Q-\d+", deviation.id)
    assert isinstance(deviation.verdict, Verdict)
    assert deviation.title
    assert deviation.releases == ("0.23.0",)


@every_deviation
def test_the_rules_departed_from_are_in_the_rule_index(deviation: Deviation) -> None:
    if not RULES.exists():
        pytest.skip("there is no rule index yet")
    known = set(re.findall(r"\b[A-Z]+-\d+\b", RULES.read_text()))
    assert set(deviation.rule.split(", ")) <= known


@every_deviation
def test_a_trace_says_in_a_note_what_it_shows(deviation: Deviation) -> None:
    note = trace_of(deviation).note
    assert note
    assert "\n" not in note


def test_a_recogniser_is_not_told_what_came_out() -> None:
    assert {field.name for field in fields(Situation)} == {"configuration", "session", "operation"}


@every_operational
def test_asking_changes_nothing(deviation: Deviation) -> None:
    trace = trace_of(deviation)
    situation = replay_to(ReferenceSession, trace, len(trace.operations) - 1)
    before = situation.session.view()
    for other in AT_AN_OPERATION:
        other.concerns(situation.configuration)
        other.recognises(situation)
    assert situation.session.view() == before


# Traces


@every_operational
def test_a_legal_scheduler_gets_there(deviation: Deviation) -> None:
    trace = trace_of(deviation)
    scheduler = Scheduler(trace.configuration.max_model_len, DRAFTS)
    session = ReferenceSession(trace.configuration)
    for operation in trace.operations:
        assert scheduler.violation(operation) is None
        scheduler.record(operation, session.apply(operation))


@every_operational
def test_the_trace_is_recognised_at_its_last_operation_and_not_before(deviation: Deviation) -> None:
    trace = trace_of(deviation)
    *before, last = (
        met_by(CATALOGUE, replay_to(ReferenceSession, trace, at)) for at in range(len(trace.operations))
    )
    assert before == [None] * len(before)
    assert last is deviation


@every_constructional
def test_the_configuration_is_recognised(deviation: Deviation) -> None:
    assert met_at_construction(CATALOGUE, trace_of(deviation).configuration) is deviation


@pytest.mark.vllm
@every_operational
def test_the_real_vllm_deviates_at_the_last_operation(deviation: Deviation, vllm_target: VllmTarget) -> None:
    trace = trace_of(deviation)
    agreed, known, difference = replay(ReferenceSession, vllm_target, trace)
    assert agreed == len(trace.operations) - 1
    assert known is deviation
    assert difference is not None
    assert difference.differences


@pytest.mark.vllm
@every_constructional
def test_one_side_refuses_the_configuration(deviation: Deviation, vllm_target: VllmTarget) -> None:
    trace = trace_of(deviation)
    (theirs,) = vllm_target.run([trace])
    assert (run_case(ReferenceSession, trace).refused is None) != (theirs.refused is None)


# Near misses


@near_misses(AT_AN_OPERATION)
def test_a_near_miss_is_not_recognised(deviation: Deviation, near: Callable[[Trace], Trace]) -> None:
    trace = near(trace_of(deviation))
    situation = replay_to(ReferenceSession, trace, len(trace.operations) - 1)
    assert type(situation.operation) is type(trace_of(deviation).operations[-1])
    assert deviation.concerns(trace.configuration)
    assert not deviation.recognises(situation)
    assert met_by(CATALOGUE, situation) is None


@near_misses(AT_CONSTRUCTION)
def test_a_like_configuration_is_not_recognised(deviation: Deviation, near: Callable[[Trace], Trace]) -> None:
    trace = near(trace_of(deviation))
    assert not deviation.concerns(trace.configuration)
    assert met_at_construction(CATALOGUE, trace.configuration) is None


@pytest.mark.vllm
@near_misses(list(CATALOGUE))
def test_the_real_vllm_agrees_on_a_near_miss(
    deviation: Deviation, near: Callable[[Trace], Trace], vllm_target: VllmTarget
) -> None:
    trace = near(trace_of(deviation))
    (theirs,) = vllm_target.run([trace])
    assert theirs == run_case(ReferenceSession, trace)
    assert theirs.refused is None
    assert len(theirs.digests) == len(trace.operations)


# Precision


@pytest.mark.vllm
def test_what_is_recognised_does_deviate(vllm_target: VllmTarget) -> None:
    """A recogniser that covers more than the deviation would hide other bugs."""
    cases = [draw_case(11, "mixed", n, 40, ReferenceSession, CATALOGUE) for n in range(400)]
    met: set[str] = set()
    for case, result in zip(cases, vllm_target.run([case.trace for case in cases]), strict=True):
        trace = case.trace
        if case.expected.refused or result.refused:
            continue
        at = first_mismatch(case.expected, result)
        session = ReferenceSession(trace.configuration)
        for number, operation in enumerate(trace.operations[: None if at is None else at + 1]):
            known = met_by(CATALOGUE, Situation(trace.configuration, session, operation))
            assert (known is not None) == (number == at), (trace.case, number, known and known.id)
            met |= {known.id} if known else set()
            session.apply(operation)
    assert met
