"""Whatever a driver does instead of answering is told in words, within its time, and leaves nothing behind."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvref.errors import UserError, WrongAnswerError
from kvref.fuzz.campaign import Settings, run
from kvref.fuzz.hits import HeldToHits
from kvref.operations import (
    Allocate,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
)
from kvref.replay import replay
from kvref.targets.process import ProcessTarget
from kvref.targets.process_link import MOST_FAULTS
from kvref.targets.process_messages import Level
from kvref.targets.reference import ReferenceSession
from tests.fuzz.safely import run_safely

FULL = Configuration((FullGroup(4),), 9, 64, 4, 4)
BEFORE: tuple[Operation, ...] = (
    NewRequest("r", (1, 2, 3)),
    NewStep(),
    Lookup("r"),
    Allocate("r", 0, 3, hit=0),
    StepEnds(),
)
SECONDS = 2.0


def command(fault: str, base: str = "dictionary") -> str:
    return shlex.join([sys.executable, str(Path(__file__).with_name("faulty_driver.py")), fault, base])


Opened = Callable[..., ProcessTarget]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens targets, and closes them in the end."""
    targets: list[ProcessTarget] = []

    def open_target(
        fault: str, base: str = "dictionary", level: Level = "hits", seconds: float = SECONDS
    ) -> ProcessTarget:
        targets.append(ProcessTarget(command(fault, base), level, answer_seconds=seconds))
        return targets[-1]

    yield open_target
    for target in targets:
        target.close()


FAULTS = {
    "hangs": "did not answer within 2 s",
    "dies": "died (SIGKILL)",
    "exits": "ended by itself (exit status 1): my cache is on fire",
    "rubbish": "sent what is not an answer (JSON is malformed: invalid character (byte 0)): I am fine",
    "half a line": "did not answer within 2 s, but half a line",
    "half a line, and dies": "ended by itself (exit status 0) in the middle of a line",
    "a long line": "sent a line of more than 32 MiB",
    "a late answer": "answered question ",
    "another answer": "gave another answer than it was asked for (Opened)",
    "too few": "gave 0 observations and 0 snapshots of 1 operations",
    "too many": "gave 2 observations and 0 snapshots of 1 operations",
    "closes its output": "closed its output",
    "shouts for ever": "did not answer within 2 s: s",
    "a silly block": "named block 999, but the pool has 9 blocks",
    "a negative block": "Expected `int` >= 0 - at `$.observations[0].blocks[0][0]`",
    "a text for a block": "Expected `int`, got `str` - at `$.observations[0].blocks[0][0]`",
    "a block beyond all numbers": "- at `$.observations[0].blocks[0][0]`",
    "another group": "answered blocks of 2 groups, but there are 1",
    "an unknown field": "unknown field `block` - at `$.observations[0]`",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_words_and_the_next_manager_is_asked_as_if_nothing_was(
    opened: Opened, fault: str
) -> None:
    target = opened(fault)
    for _ in range(2):
        session = target.opener(FULL)
        for operation in BEFORE:
            assert session.apply(operation).error is None
        with pytest.raises(WrongAnswerError) as told:
            session.apply(Free("r"))
        assert FAULTS[fault] in str(told.value)
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 500
        with pytest.raises(LookupError):
            session.apply(NewStep())


@pytest.mark.parametrize(
    ("fault", "words"),
    [("closes its input", "closed its input"), ("two answers", "answered question ")],
)
def test_what_is_wrong_behind_an_answer_is_told_at_the_next_question(
    opened: Opened, fault: str, words: str
) -> None:
    session = opened(fault).opener(FULL)
    for operation in (*BEFORE, Free("r")):
        assert session.apply(operation).error is None
    with pytest.raises(WrongAnswerError, match=words):
        session.apply(NewStep())


def test_megabytes_on_standard_error_disturb_nobody(opened: Opened) -> None:
    session = opened("shouts").opener(FULL)
    for operation in (*BEFORE, Free("r"), NewStep()):
        assert session.apply(operation).error is None


# What cannot be asked at all


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("./no-such-driver", "'./no-such-driver' cannot be run (No such file or directory)"),
        ("/etc/passwd", "'/etc/passwd' cannot be run (Permission denied)"),
        ("'", "No closing quotation"),
        (" ", "--target-cmd is empty"),
        ("true", "ended by itself (exit status 0): docs/drivers.md"),
        ("echo hello", "sent what is not an answer"),
        (command("another protocol"), "speaks protocol 2, and this kvref protocol 1"),
        (command("an unknown group"), "Invalid enum value 'fulll' - at `$.capabilities.groups[0]`"),
        (command("hangs at first"), "did not answer within 2 s"),
        (command("no fault"), "dictionary offers level hits, not exact: use --level hits"),
    ],
)
def test_a_driver_that_cannot_be_asked_is_refused_in_one_line(asked: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        ProcessTarget(asked, "exact", start_seconds=SECONDS)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


# Campaigns


@pytest.mark.parametrize(("fault", "words"), [("dies", "died (SIGKILL)"), ("hangs", "did not answer within")])
def test_at_level_exact_a_fault_is_a_finding_at_its_operation(opened: Opened, fault: str, words: str) -> None:
    target = opened(fault, "reference", "exact")
    report = run(Settings(1, 2, None, length=30), ReferenceSession, target, lambda _: None)
    assert report.failure is None
    assert report.findings
    for finding in report.findings:
        (told,) = finding.differences
        assert words in told.actual
        assert isinstance(finding.operation, Free)
        frees = [isinstance(operation, Free) for operation in finding.trace.operations]
        assert frees.index(True) == len(frees) - 1
        again = replay(ReferenceSession, target, finding.trace)
        assert again.finding is not None
        assert again.finding.differences == finding.differences


def test_a_campaign_goes_on_behind_faults_up_to_a_bound_and_keeps_what_it_found(opened: Opened) -> None:
    target = HeldToHits(opened("dies"), ReferenceSession)
    report = run_safely(Settings(1, 200), target)
    assert report.found.total == MOST_FAULTS
    assert report.failure is not None
    assert str(report.failure) == (
        f"dictionary is given up after {MOST_FAULTS} faults; the last: it died (SIGKILL)"
    )
    assert {finding.differences[0].what for finding in report.findings} == {"the driver"}


def test_what_a_batch_has_shown_is_kept_when_the_driver_is_given_up(opened: Opened) -> None:
    target = opened("dies", "reference", "exact")
    report = run(Settings(1, 60, None, length=30), ReferenceSession, target, lambda _: None)
    # A case is asked for as a batch, and once more to find the operation: two faults.
    assert len(report.findings) == MOST_FAULTS // 2
    assert report.failure is not None
    assert "is given up after 20 faults" in str(report.failure)
    assert MOST_FAULTS // 2 <= report.cases < 40


# Nothing is left behind


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(process: int) -> bool:
    until = time.monotonic() + 10
    while is_running(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(process)


def processes(path: Path) -> list[int]:
    """What the driver has written when it began."""
    until = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


def test_a_driver_that_does_not_end_is_ended_with_its_children(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    target = opened("has a child, and hears nothing")
    driver, child = processes(tmp_path / "pids")
    assert is_running(driver)
    assert is_running(child)
    target.close()
    assert ends(driver)
    assert ends(child)
    target.close()
    with pytest.raises(UserError, match="has been closed"):
        target.opener(FULL)


def test_a_target_that_nobody_closes_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    target = ProcessTarget(command("no fault"), "hits")
    (driver,) = processes(tmp_path / "pids")
    del target
    assert ends(driver)


@pytest.mark.parametrize(
    ("fault", "level", "times"),
    [
        ("hangs at first", "hits", 1),
        ("hangs", "hits", 1),
        ("no fault", "exact", 1),
        # The first one waits for the running batch, and so for a timeout a case; the second for nothing.
        ("hangs", "exact", 2),
    ],
)
def test_ctrl_c_leaves_no_process(tmp_path: Path, fault: str, level: str, times: int) -> None:
    asked = [sys.executable, "-m", "kvref.cli", "fuzz", "--target-cmd", command(fault, "reference")]
    options = ["--level", level, "--timeout", "5", "--findings", str(tmp_path / "findings")]
    campaign = subprocess.Popen(  # noqa: S603
        [*asked, *options, "--cases", "100000"],
        env=os.environ | {"PIDS": str(tmp_path / "pids")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    (driver,) = processes(tmp_path / "pids")
    for _ in range(times):
        time.sleep(1.0)  # into the campaign, or not yet: it ends well at any point
        campaign.send_signal(signal.SIGINT)
    _, errors = campaign.communicate(timeout=60)
    # A second one may come when the interpreter is on its way out, and takes signals no more.
    ended = (0, 1, 130) if times == 1 else (0, 1, 130, -signal.SIGINT)
    assert campaign.returncode in ended, errors
    assert "Traceback" not in errors
    assert ends(driver)
