"""A reproducer runs with vLLM alone, and shows what level safe has found on it."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from kvref.fuzz.play import play
from kvref.fuzz.settings import Settings
from kvref.fuzz.shows_safe import Safe
from kvref.fuzz.shrink import shrink
from kvref.operations import Allocate, GetBlocks, NewStep, StepEnds, Trace
from kvref.replay import read_trace
from kvref.replay_safe import replay_safe
from kvref.targets import vllm
from kvref.targets.vllm import environment
from kvref.targets.vllm.reproducer import reproducer
from kvref.targets.vllm.target import VllmTarget

RELEASE = "0.23.0"
TRACES = Path(str(vllm.__file__)).parent / "traces"
CASES = (47, 58, 142, 145, 242, 829)
"""Cases of seed 1 that show something on 0.23.0: misreads, and what runs out in the middle of a call."""

pytestmark = pytest.mark.vllm


def run(text: str, path: Path) -> subprocess.CompletedProcess[str]:
    path.write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": ""}
    python = environment.python_for(RELEASE, progress=print)
    return subprocess.run(  # noqa: S603
        [str(python), "-W", "ignore", str(path)],
        env=kept | quiet,
        capture_output=True,
        text=True,
        check=False,
    )


def shows(trace: Trace, target: VllmTarget, path: Path) -> None:
    """The file shows what the replay shows: the same request and token, or the same error."""
    wrong, _ = replay_safe(trace, target)
    ended = run(reproducer(trace, RELEASE), path)
    assert ended.returncode == 1, ended.stderr
    (last,) = ended.stdout.splitlines()
    assert last.startswith("FAULT: ")
    if wrong[0].what == "error":
        assert last.endswith(wrong[0].actual)
    else:
        assert wrong[0].what in last
        assert f"should be {wrong[0].expected}, and there is {wrong[0].actual}." in last


@pytest.mark.parametrize("number", CASES)
def test_a_shrunk_finding_is_shown(number: int, vllm_target: VllmTarget, tmp_path: Path) -> None:
    shrunk = shrink(play(Settings(1, None), number, vllm_target).trace, Safe(vllm_target))
    assert shrunk is not None
    shows(shrunk.trace, vllm_target, tmp_path / "finding.py")


def test_what_runs_out_in_the_middle_of_a_call_is_shown(vllm_target: VllmTarget, tmp_path: Path) -> None:
    shows(read_trace(TRACES / "Q-4.json"), vllm_target, tmp_path / "finding.py")


def test_a_chunk_that_ends_in_a_block_is_shown(vllm_target: VllmTarget, tmp_path: Path) -> None:
    minimal = read_trace(TRACES / "Q-7.json")
    arrival, lookup = minimal.operations
    more = (NewStep(), lookup, Allocate("a", 0, 2, hit=2), GetBlocks("a"), StepEnds())
    shows(msgspec.structs.replace(minimal, operations=(arrival, *more)), vllm_target, tmp_path / "finding.py")


def test_a_sound_trace_shows_nothing(tmp_path: Path, vllm_target: VllmTarget) -> None:
    for number in range(4):
        played = play(Settings(1, None, length=40), number, vllm_target)
        if played.refused is None:
            assert not played.wrong
            ended = run(reproducer(played.trace, RELEASE), tmp_path / "sound.py")
            assert ended.returncode == 0, (number, ended.stdout, ended.stderr)
