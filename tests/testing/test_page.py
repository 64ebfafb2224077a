"""What `docs/testing.md` and the workflow say is so."""

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvref import pytest_plugin
from kvref.testing import KVCacheMachine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/testing.md").read_text()
WORKFLOW = ROOT / "examples/ci/kvref.yml"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_in_a_folder")
@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_an_example_runs(block: int) -> None:
    (Path.cwd() / "test_example.py").write_text(BLOCKS[block])
    begun = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        begun, capture_output=True, text=True, check=False
    )
    expected = 0 if "test" in BLOCKS[block].replace("testing", "").lower() else 5  # nothing to collect
    assert done.returncode == expected, done.stdout


def test_the_machine_takes_at_most_ten_lines() -> None:
    [example] = [block for block in BLOCKS if "class MyManager" in block]
    assert len([line for line in example.splitlines() if line]) <= 10


def test_every_rule_of_the_machine_is_told() -> None:
    told = {"arrive", "get tokens", "bring results", "finish", "preempted", "go on", "queries", "upheavals"}
    assert all(word in PAGE for word in told)
    assert {rule.function.__name__ for rule in KVCacheMachine.setup_state().rules} == {
        "arrive", "serve", "schedule", "results", "finish", "turn", "disturb",
    }  # fmt: skip


def options_in(text: str) -> set[str]:
    return set(re.findall(r"--kvref-[a-z]+", text))


def known_options() -> dict[str, Any]:
    parser = pytest.Parser(_ispytest=True)
    pytest_plugin.pytest_addoption(parser)
    return vars(parser.parse([]))


def test_every_option_is_told_and_real() -> None:
    known = {f"--{name.replace('_', '-')}" for name in known_options() if name.startswith("kvref")}
    assert options_in(PAGE) | {"--kvref-findings"} == known
    assert options_in(WORKFLOW.read_text()) <= known


@pytest.mark.parametrize("kind", ["LEVELS", "PROFILES"])
def test_every_level_and_profile_is_told(kind: str) -> None:
    assert all(f"`{name}`" in PAGE for name in getattr(pytest_plugin, kind))


def steps() -> list[dict[str, Any]]:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    assert set(jobs) == {"pull-request", "nightly"}
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_workflow_loads_and_every_step_is_an_action_or_a_command() -> None:
    assert all(("uses" in step) != ("run" in step) for step in steps())
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps() if "uses" in step)


def test_the_workflows_commands_are_real() -> None:
    for command in [step["run"] for step in steps() if "run" in step]:
        for line in command.splitlines():
            words = [
                word for word in shlex.split(line.replace("${{ matrix.level }}", "exact")) if "=" not in word
            ]
            assert words[0] in {"pip", "mkdir", "pytest"}
            if words[0] == "pytest":
                given = dict(pairwise(words))
                assert given["--kvref-level"] in pytest_plugin.LEVELS
                assert given["--kvref-profile"] in pytest_plugin.PROFILES
