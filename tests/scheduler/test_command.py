"""`kvref scheduler`: recordings of the real scheduler, made and replayed."""

import shutil
from pathlib import Path

import pytest

from kvref.cli import scheduler as command
from kvref.errors import UserError
from kvref.scheduler.answers import ANSWERS
from kvref.scheduler.workloads import WORKLOADS
from kvref.targets.vllm.scheduler.process import SchedulerProcess
from tests.rules_index import ROOT

FOLDER = ROOT / "recordings"


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder with one recording."""
    text = (FOLDER / "recordings.json").read_text()
    (tmp_path / "recordings.json").write_text(text.partition("},")[0] + "}]")
    shutil.copy(FOLDER / "plain-0.json", tmp_path)
    return tmp_path


def test_all_workloads_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.list_workloads() == 0
    words = capsys.readouterr().out.split()
    assert {workload.name for workload in WORKLOADS} <= set(words)


def test_recordings_are_replayed_on_a_target(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.replay(few, target="optimized") == 0
    assert "417 calls of 1 recordings agree, 0 recordings differ" in " ".join(capsys.readouterr().out.split())


def test_an_answer_that_was_recorded_otherwise_is_a_divergence(
    few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = few / "plain-0.json"
    text = path.read_text()
    assert '"num_blocks":96' in text
    path.write_text(text.replace('"num_blocks":96', '"num_blocks":90'))
    assert command.replay(few, target="optimized") == 1
    assert "plain-0.json: the reference does not answer as the live manager did" in capsys.readouterr().out


def test_an_unknown_workload_is_refused_before_anything_is_started() -> None:
    with pytest.raises(UserError, match="no workload is called 'nobody'"):
        command.record("nobody")


def test_an_interpreter_without_vllm_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="no-such-python"):
        SchedulerProcess(Path("no-such-python"), print)


@pytest.mark.vllm
def test_the_real_scheduler_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.record("async-pressure", seed=3, out=tmp_path) == 0
    assert "0 recordings with a call that is wrong" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "async-pressure-3.json").exists()
    assert command.replay(tmp_path, target="optimized") == 0


def test_every_answer_is_shown_by_a_file_and_on_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    for who, what, file in ANSWERS:
        assert (ROOT / "reproducers" / file).exists()
        assert f"| {who} | {what} |" in page
