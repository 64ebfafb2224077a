"""A live session: one round trip an operation, and nothing that a worker does wrong hangs it."""

import time

import pytest

from invariants.view import View
from kvref.errors import ConfigurationError, UnpicturableError
from kvref.fuzz.cases import draw_case
from kvref.operations import (
    Allocate,
    Configuration,
    Evict,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    Trace,
)
from kvref.targets.base import picture_case
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget
from kvref.targets.vllm.worker import Answer, Apply, Desk, Look, Looked, Opened, Ran, Refused, Seen
from kvref.targets.vllm.worker import Open as Build
from tests.targets.vllm.fakes import Open, message, told_by

PLAIN = Configuration((FullGroup(2),), 9, 64, 2, 2, enable_kv_cache_events=False)
OPENED = f"receive(); send({message(Opened(1.5))!r})\n"
PROMPT = (NewRequest("r", (1, 2, 3)), NewStep(), Lookup("r"), Allocate("r", 0, 3, hit=0))


class Unpicturable(ReferenceSession):
    def view(self) -> View:
        raise UnpicturableError("it keeps no queue")


def test_a_desk_holds_the_manager_that_was_built_last() -> None:
    desk = Desk(ReferenceSession)
    assert isinstance(desk.answer(Build(PLAIN)), Opened)
    seen = [desk.answer(Apply(operation)) for operation in PROMPT]
    assert seen[-1] == Seen(Observation(blocks=((1, 2),)))
    assert isinstance(desk.answer(Look()), Looked)
    desk.answer(Build(PLAIN))
    assert desk.answer(Apply(PROMPT[0])) == Seen(Observation())


def test_a_refused_configuration_leaves_no_manager() -> None:
    desk = Desk(ReferenceSession)
    desk.answer(Build(PLAIN))
    refused = desk.answer(Build(Configuration((), 9, 64, 4, 3)))
    assert refused == Refused("scheduler_block_size 4 must be a multiple of hash_block_size 3")
    with pytest.raises(LookupError):
        desk.answer(Look())


def test_a_state_that_cannot_be_pictured_is_refused() -> None:
    desk = Desk(Unpicturable)
    desk.answer(Build(PLAIN))
    assert desk.answer(Look()) == Refused("it keeps no queue")
    assert desk.answer(Apply(PROMPT[0])) == Seen(Observation())


def test_a_session_passes_on_what_the_worker_answers(opened: Open) -> None:
    answers: list[Answer] = [Seen(Observation(done=True)), Refused("it keeps no queue")]
    target = opened(
        OPENED + "".join(f"receive(); send({message(a)!r})\n" for a in answers) + "time.sleep(600)"
    )
    session = target.opener(PLAIN)
    assert target.cpu_seconds == 1.5
    assert session.apply(NewStep()) == Observation(done=True)
    with pytest.raises(UnpicturableError, match="it keeps no queue"):
        session.view()


def test_a_configuration_that_the_worker_refuses(opened: Open) -> None:
    target = opened(f"receive(); send({message(Refused('too wide'))!r}); time.sleep(600)")
    with pytest.raises(ConfigurationError, match="too wide"):
        target.opener(PLAIN)


def test_a_session_ends_when_the_next_one_is_built(opened: Open) -> None:
    target = opened(OPENED + OPENED + "time.sleep(600)")
    first = target.opener(PLAIN)
    target.opener(PLAIN)
    with pytest.raises(LookupError, match="another one has been built since"):
        first.apply(NewStep())


WRONG = {
    "hangs": ("receive(); say('thinking'); time.sleep(600)", "did not answer within 2 s: thinking"),
    "dies": ("receive(); sys.exit('out of memory')", "has died: out of memory"),
    "answers another question": (
        f"receive(); send({message(Ran((), 0.0))!r}); time.sleep(600)",
        "answered something else than it was asked",
    ),
    "prints": ("receive(); send(b'INFO'); time.sleep(600)", "sent what is not a message"),
    "sends half a message": (
        "receive(); send(b'\\x00\\x00\\x00\\x09abc'); sys.exit('Killed')",
        "has died: Killed",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("asked", ["build", "apply", "look"])
def test_a_worker_that_does_not_answer(asked: str, wrong: str, opened: Open) -> None:
    body, expected = WRONG[wrong]
    if asked == "build":
        target = opened(body)
        assert expected in told_by(lambda: target.opener(PLAIN))
        return
    session = opened(OPENED + body).opener(PLAIN)
    act = session.view if asked == "look" else lambda: session.apply(NewStep())
    assert expected in told_by(act)


def test_a_worker_that_stops_reading_in_mid_question(opened: Open) -> None:
    session = opened(OPENED + "say('deaf'); time.sleep(600)").opener(PLAIN)
    long = NewRequest("a", tuple(range(1_000_000)))
    assert "did not answer within 2 s: deaf" in told_by(lambda: session.apply(long))


def play(target: VllmTarget, trace: Trace) -> list[tuple[Operation, Observation, View]]:
    session = target.opener(trace.configuration)
    return [(operation, session.apply(operation), session.view()) for operation in trace.operations]


@pytest.mark.vllm
def test_a_live_session_shows_what_a_whole_case_shows(vllm_target: VllmTarget) -> None:
    for number in range(12):
        trace = draw_case(7, "clean", number, 60, ReferenceSession, vllm_target.catalogue).trace
        played = play(vllm_target, trace)
        own = picture_case(ReferenceSession, trace)
        assert [(seen, view) for _, seen, view in played] == [(p.observation, p.view) for p in own]


@pytest.mark.vllm
def test_what_vllm_raises_is_told_in_the_observation(vllm_target: VllmTarget) -> None:
    session = vllm_target.opener(PLAIN)
    assert session.apply(Evict((99,))).error == "UnknownBlockError"
    assert session.apply(PROMPT[0]) == Observation()
    with pytest.raises(ConfigurationError):
        vllm_target.opener(Configuration((), 9, 64, 4, 3))


@pytest.mark.vllm
def test_0_23_0_can_be_asked_everything(vllm_target: VllmTarget) -> None:
    able = vllm_target.capabilities
    assert able.groups == {"full", "mla", "sink", "sliding", "sliding_mla", "chunked", "mamba", "cross"}
    assert able.mamba_modes == {"none", "all", "align"}
    assert able.operations == {kind.__name__ for kind in Operation.__args__}
    assert able.arguments == {"lookahead", "external", "delay", "encoder", "must_fit", "reserved"}
    assert able.block_sizes
    assert able.eagle_groups
    assert able.retention


@pytest.mark.vllm
def test_a_round_trip_is_quick(vllm_target: VllmTarget) -> None:
    """Some 50 us in all; the bound is for a machine that does much else besides."""
    session = vllm_target.opener(PLAIN)
    for operation in PROMPT:
        session.apply(operation)
    began = time.monotonic()
    for _ in range(1000):
        session.apply(GetBlocks("r"))
    assert time.monotonic() - began < 2.0
