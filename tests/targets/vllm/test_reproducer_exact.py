"""A trace written in vLLM's own classes asserts what the reference shows: vLLM fails where it differs."""

import os
import subprocess
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.fuzz.cases import draw_case
from kvref.judge import judge
from kvref.operations import Trace
from kvref.replay import read_trace
from kvref.targets import vllm
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm import environment
from kvref.targets.vllm.reproducer_exact import exact_reproducer
from kvref.targets.vllm.target import VllmTarget

RELEASE = "0.23.0"
TRACES = sorted((Path(str(vllm.__file__)).parent / "traces").glob("Q-*.json"))

RAISED = {"Q-4": "ValueError", "Q-28": "ValueError", "Q-6": "TypeError"}
"""What vLLM itself raises where it should not."""

EACH = """
import os, runpy, sys
for path in sys.argv[1:]:
    os.environ.pop("VLLM_PREFIX_CACHE_RETENTION_INTERVAL", None)
    try:
        runpy.run_path(path, run_name="__main__")
    except Exception as error:
        print(f"{path} {type(error).__name__} {error}")
    else:
        print(f"{path} passed")
"""
"""Runs files one after another: to import vLLM takes longer than they do."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "CUDA_VISIBLE_DEVICES": ""}
    python = environment.python_for(RELEASE, progress=print)
    return subprocess.run(  # noqa: S603
        [str(python), "-W", "ignore", *arguments],
        env=kept | quiet,
        capture_output=True,
        text=True,
        check=False,
    )


def outcomes(texts: dict[str, str], folder: Path) -> dict[str, str]:
    """How each file ends, by name."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    ended = run("-c", EACH, *(str(folder / f"{name}.py") for name in texts))
    told = [line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith(str(folder))]
    return {Path(path).stem: outcome for path, outcome in told}


@pytest.mark.vllm
def test_every_deviation_of_the_catalogue_fails(tmp_path: Path) -> None:
    texts = {path.stem: exact_reproducer(read_trace(path), ReferenceSession, RELEASE) for path in TRACES}
    ended = outcomes(texts, tmp_path)
    assert ended.keys() == texts.keys()
    assert not [name for name, outcome in ended.items() if outcome == "passed"]
    assert ended["Q-1"].startswith("AssertionError")
    assert all(outcome.startswith(RAISED.get(name, "AssertionError")) for name, outcome in ended.items()), (
        ended
    )


@pytest.mark.vllm
def test_what_agrees_passes(vllm_target: VllmTarget, tmp_path: Path) -> None:
    texts = {}
    for number in range(60):
        case = draw_case(1, "mixed", number, 40, ReferenceSession, vllm_target.catalogue)
        (actual,) = vllm_target.run([case.trace])
        met = judge(ReferenceSession, vllm_target, case.trace, case.expected, actual)
        if met == (len(case.expected.digests), None, None) and not case.expected.refused:
            texts[f"case{number}"] = exact_reproducer(case.trace, ReferenceSession, RELEASE)
    ended = outcomes(texts, tmp_path)
    assert len(texts) > 30
    assert set(ended.values()) == {"passed"}, {name: end for name, end in ended.items() if end != "passed"}


@pytest.mark.vllm
def test_the_file_by_itself_exits_with_1_where_the_fault_shows(tmp_path: Path) -> None:
    fault, sound = tmp_path / "fault.py", tmp_path / "sound.py"
    minimal = read_trace(TRACES[0].with_name("Q-1.json"))
    fault.write_text(exact_reproducer(minimal, ReferenceSession, RELEASE))
    shorter = Trace(minimal.configuration, minimal.operations[:3])
    sound.write_text(exact_reproducer(shorter, ReferenceSession, RELEASE))
    shown, passed = run(str(fault)), run(str(sound))
    assert (shown.returncode, passed.returncode) == (1, 0), shown.stderr + passed.stderr
    assert "AssertionError" in shown.stderr
    assert "assert ids(found) == [[], []]" in shown.stderr
    assert "does not show" in passed.stdout


@pytest.mark.parametrize("release", ["0.20.2", "0.26.0"])
def test_a_release_with_another_api_is_refused(release: str) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        exact_reproducer(read_trace(TRACES[0]), ReferenceSession, release)


def test_the_file_names_nothing_of_kvref() -> None:
    for path in TRACES:
        text = exact_reproducer(read_trace(path), ReferenceSession, RELEASE)
        assert "kvref" not in text.replace("written by kvref", "")
