"""The real vLLM as either of two sides, and held against the committed vectors; and who asks it when."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from kvref.fuzz.campaign import Report, Settings, run
from kvref.judge import Terms
from kvref.operations import Configuration, FullGroup, Observation, Trace
from kvref.replay import read_trace, replay
from kvref.targets import vllm
from kvref.targets.base import CaseResult, LiveTarget
from kvref.targets.capabilities import everything
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget
from kvref.targets.vllm.worker import Opened, Ran, Refused, Seen
from kvref.vectors.run import run as run_vectors
from kvref.vectors.suite import read_suite
from tests.targets.vllm.fakes import Open, message
from tests.vectors.suites import COMMITTED

TRACES = Path(str(vllm.__file__)).parent / "traces"
TRACE = Trace(Configuration((FullGroup(1),), 2, 1, 1, 1), ())


def campaign(target: LiveTarget, other: LiveTarget, cases: int) -> Report:
    return run(Settings(1, cases, None), ReferenceSession, target, lambda _: None, Terms(other))


def optimized() -> InProcessTarget:
    return InProcessTarget("optimized", OptimizedSession)


@pytest.mark.vllm
def test_the_optimized_manager_is_held_against_the_release(vllm_target: VllmTarget) -> None:
    report = campaign(optimized(), vllm_target, 160)
    assert report.failure is None
    assert report.findings == []
    assert report.operations > 8000
    assert report.deviations.keys() <= {deviation.id for deviation in vllm_target.catalogue}
    assert report.deviations.total() > 0
    assert (report.against, report.witnessed) == ("vllm==0.23.0", 0)


@pytest.mark.vllm
def test_the_release_is_held_against_the_optimized_manager(vllm_target: VllmTarget) -> None:
    report = campaign(vllm_target, optimized(), 120)
    assert (report.failure, report.findings) == (None, [])
    assert report.deviations.total() > 0
    assert report.witnessed > 5


@pytest.mark.vllm
@pytest.mark.parametrize("name", ["Q-1", "Q-6", "Q-16"])
def test_a_deviation_is_named_from_either_side(vllm_target: VllmTarget, name: str) -> None:
    trace = read_trace(TRACES / f"{name}.json")
    sides: tuple[LiveTarget, LiveTarget] = (vllm_target, optimized())
    for target, other in (sides, sides[::-1]):
        known = replay(ReferenceSession, target, trace, Terms(other)).known
        assert known is not None
        assert known.id == name


@pytest.mark.vllm
def test_the_release_agrees_with_the_vectors_but_for_what_is_known(vllm_target: VllmTarget) -> None:
    _, files = read_suite(COMMITTED)
    tallies = run_vectors(files, vllm_target, "exact", ReferenceSession).values()
    assert [failure for tally in tallies for failure in tally.failures] == []
    assert {name for tally in tallies for name in tally.known} == {one.id for one in vllm_target.catalogue}
    assert sum(tally.agreed for tally in tallies) > 100


def test_one_thread_asks_at_a_time(opened: Open) -> None:
    ran, shown = Ran((CaseResult(),), 0.0), Seen(Observation())
    answers = f"b'Run' in question and {message(ran)!r} or b'Open' in question and {message(Opened(0.0))!r}"
    target = opened(f"while True:\n    question = receive()\n    send({answers} or {message(shown)!r})\n")

    def ask(number: int) -> object:
        return target.run([TRACE]) if number % 2 else target.opener(TRACE.configuration)

    with ThreadPoolExecutor(8) as askers:
        answered = list(askers.map(ask, range(400)))
    assert answered[1::2] == [[CaseResult()]] * 200


def test_a_side_that_cannot_be_pictured_ends_the_campaign_in_a_line(opened: Open) -> None:
    target = opened(
        f"while True:\n    question = receive()\n"
        f"    send(b'Open' in question and {message(Opened(0.0))!r} or {message(Refused('0.1 keeps no queue'))!r})\n"
    )
    target.capabilities = replace(everything("0.1"), is_sound=False)
    report = campaign(optimized(), target, 5)
    assert str(report.failure) == "0.1 keeps no queue"
