"""Inner calls of the real vLLM and of the views, side by side: what a harness that reaches in sees of both."""

import os
import subprocess
from pathlib import Path

import pytest

from kvref.compat.vllm.backing import managers
from kvref.targets.vllm import environment
from tests.compat.vllm import inner_calls

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[3]
CASES = 15


def play(target: str, file: Path) -> "subprocess.Popen[str]":
    python = environment.python_for("0.23.0", progress=print)
    return subprocess.Popen(  # noqa: S603 - the environment's own interpreter
        [str(python), str(Path(inner_calls.__file__)), target, str(file), "0", str(CASES)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the real vLLM shows, and what the views of each manager show."""
    folder = tmp_path_factory.mktemp("inner_calls")
    files = {target: folder / f"{target}.jsonl" for target in ("vllm", *managers())}
    for process in [play(target, file) for target, file in files.items()]:
        _, told = process.communicate()
        assert process.returncode == 0, told
    return files


@pytest.mark.parametrize("manager", managers())
def test_the_views_show_what_vllm_shows_call_for_call(shown: dict[str, Path], manager: str) -> None:
    assert list(inner_calls.differences(shown["vllm"], shown[manager])) == []


def test_the_calls_reach_every_structure_and_go_wrong_in_every_way(shown: dict[str, Path]) -> None:
    cases = inner_calls.cases_of(shown["vllm"])
    calls = [line for case in cases.values() for line in case]
    assert len(cases) == CASES * len(inner_calls.SUBJECTS)
    assert len(calls) > CASES * len(inner_calls.SUBJECTS) * inner_calls.STEPS
    raised = {line[2] for line in calls if str(line[2]).startswith("raises")}
    assert raised == {f"raises {name}Error" for name in ("Assertion", "Key", "Runtime", "Value")}


def test_a_difference_is_told_once_a_case(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text('["a 1", "pop", 3, null]\n["a 1", "pop", 4, null]\n["a 2", "len", 0, null]\n')
    other.write_text('["a 1", "pop", 3, null]\n["a 1", "pop", 5, null]\n["a 3", "len", 0, null]\n')
    told = list(inner_calls.differences(one, other))
    assert [line.splitlines()[0] for line in told] == ["a 1, call 1:", "a 2, call 0:", "a 3, call 0:"]
