"""The worker process misbehaves in every way that a process can: one line says so, and nothing hangs."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from kvref.fuzz.campaign import Settings, run
from kvref.fuzz.configurations import Profile
from kvref.operations import Configuration, FullGroup, NewRequest, Observation, Trace
from kvref.targets.base import CaseResult
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget
from kvref.targets.vllm.worker import MOST_BYTES, Ran, Shown
from tests.targets.vllm.fakes import (
    HELLO,
    PATIENCE,
    SOON,
    Fake,
    Open,
    assert_nothing_left,
    message,
    told_by,
)

TRACE = Trace(Configuration((FullGroup(1),), 2, 1, 1, 1), ())

STUBBORN = """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(600)
"""

DURING_START = {
    "hangs": ("say('importing torch'); time.sleep(600)", "did not answer within 2 s: importing torch"),
    "dies": ("sys.exit('No module named vllm')", "has died: No module named vllm"),
    "dies silently": ("", "has died."),
    "tells much, then dies": (
        "say('a' * 5000); sys.exit('b' * 5000)",
        "has died: " + "b" * 300 + ".",
    ),
    "prints to the pipe": (
        "send(b'INFO vLLM 0.23.0'); time.sleep(600)",
        "sent what is not a message (a message of 1229866575 bytes is announced)",
    ),
    "sends rubbish": (
        "say('hm'); send(b'\\x00\\x00\\x00\\x03abc'); time.sleep(600)",
        "sent what is not a message (",
    ),
    "sends half a message and hangs": (
        "send(b'\\x00\\x00\\x00\\x09abc'); say('stuck'); time.sleep(600)",
        "did not answer within 2 s: stuck",
    ),
    "sends half a message and dies": (
        "send(b'\\x00\\x00\\x00\\x09abc'); sys.exit('Killed')",
        "has died: Killed",
    ),
    "sends half a length and dies": ("send(b'\\x00\\x00'); sys.exit('Killed')", "has died: Killed"),
    "announces 4 GiB": (
        "say('sorry'); send(b'\\xff\\xff\\xff\\xff'); time.sleep(600)",
        "sent what is not a message (a message of 4294967295 bytes is announced): sorry",
    ),
    "announces nothing": ("send(b'\\x00\\x00\\x00\\x00'); time.sleep(600)", "an empty one"),
    "answers unasked": (
        f"send({message(Ran((), 0.0))!r}); time.sleep(600)",
        "did not introduce itself",
    ),
}


@pytest.mark.parametrize("name", DURING_START)
def test_a_worker_that_does_not_start(name: str, fake: Fake, pid: Path) -> None:
    body, expected = DURING_START[name]
    told = told_by(lambda: VllmTarget(fake(body), start_seconds=PATIENCE))
    assert expected in told
    assert "--python" in told
    assert_nothing_left(pid)


def test_no_message_is_as_long_as_what_is_printed_by_mistake() -> None:
    assert int.from_bytes(b"    ", "big") > MOST_BYTES


@pytest.mark.parametrize("mode", [None, 0o644])
def test_an_interpreter_that_cannot_be_run(mode: int | None, fake: Fake, tmp_path: Path) -> None:
    python = fake("")
    if mode is None:
        python.unlink()
    else:
        python.chmod(mode)
    told = told_by(lambda: VllmTarget(python))
    assert str(python) in told
    assert not list((tmp_path / "scratch").iterdir())


WHEN_ASKED = {
    "hangs": ("receive(); say('thinking'); time.sleep(600)", "did not answer within 2 s: thinking"),
    "dies": ("receive(); sys.exit('out of memory')", "has died: out of memory"),
    "sends too few results": (
        f"receive(); send({message(Ran((), 0.0))!r}); time.sleep(600)",
        "answered something else than it was asked",
    ),
    "sends too many results": (
        f"receive(); send({message(Ran((CaseResult(), CaseResult()), 0.0))!r}); time.sleep(600)",
        "answered something else than it was asked",
    ),
    "introduces itself again": (
        f"receive(); {HELLO.strip()}; time.sleep(600)",
        "answered something else than it was asked",
    ),
    "sends half a message": (
        "receive(); send(b'\\x00\\x00\\x00\\x09abc'); sys.exit('Killed')",
        "has died: Killed",
    ),
    "announces 4 GiB": (
        "receive(); send(b'\\xff\\xff\\xff\\xff'); time.sleep(600)",
        "sent what is not a message",
    ),
}


@pytest.mark.parametrize("name", WHEN_ASKED)
def test_a_worker_that_does_not_answer(name: str, opened: Open, pid: Path) -> None:
    body, expected = WHEN_ASKED[name]
    target = opened(body)
    assert expected in told_by(lambda: target.run([TRACE]))
    assert_nothing_left(pid)


def test_a_worker_that_shows_views_without_observations(opened: Open, pid: Path) -> None:
    shown = message(Shown((Observation(),), ()))
    target = opened(f"receive(); send({shown!r}); time.sleep(600)")
    assert "answered something else" in told_by(lambda: target.picture(TRACE))
    assert_nothing_left(pid)


def test_a_worker_that_reads_no_more_than_a_pipe_holds(opened: Open, pid: Path) -> None:
    trace = msgspec.structs.replace(TRACE, operations=(NewRequest("a", tuple(range(1_000_000))),))
    target = opened("say('deaf'); time.sleep(600)")
    assert "did not answer within 2 s: deaf" in told_by(lambda: target.run([trace]))
    assert_nothing_left(pid)


def test_a_failed_worker_fails_at_once_when_asked_again(opened: Open) -> None:
    target = opened("receive(); sys.exit('out of memory')")
    told_by(lambda: target.run([TRACE]))
    started = time.monotonic()
    assert "has died: out of memory" in told_by(lambda: target.run([TRACE]))
    assert time.monotonic() - started < PATIENCE


def test_a_worker_that_does_not_want_to_end(opened: Open, pid: Path) -> None:
    target = opened(STUBBORN)
    started = time.monotonic()
    target.close()
    assert time.monotonic() - started < SOON
    assert_nothing_left(pid)
    target.close()


def test_ctrl_c_does_not_reach_the_worker(opened: Open, pid: Path) -> None:
    target = opened("time.sleep(600)")
    assert target.release == "0.23.0"
    assert os.getpgid(int(pid.read_text())) != os.getpgid(0)


@pytest.mark.vllm
@pytest.mark.parametrize("profile", ["clean", "mixed"])
def test_the_real_vllm_and_the_reference_agree(profile: Profile, vllm_target: VllmTarget) -> None:
    seen = run(Settings(3, 40, None, profile), ReferenceSession, vllm_target, lambda _: None)
    assert seen.cases == 40
    assert seen.operations > 1500
    assert seen.findings == []
    if profile == "clean":
        assert not seen.deviations


@pytest.mark.vllm
def test_the_real_worker_tells_its_release_and_its_time(vllm_target: VllmTarget) -> None:
    assert vllm_target.name == "vllm==0.23.0"
    vllm_target.run([TRACE])
    assert vllm_target.cpu_seconds > 0
