"""The reproducers show on the real vLLM what their page says, which is what was measured."""

import json

import pytest

from tests.rules_index import ROOT, mentions
from tools import run_reproducers

SCRIPTS = run_reproducers.scripts()
UNFIXED = ["q18_preempted_in_its_own_step.py", "q56_whole_prompt_loaded.py"]
RESULTS = json.loads(run_reproducers.MEASURED.read_text(encoding="utf-8"))
PAGE = run_reproducers.PAGE.read_text(encoding="utf-8")


def shows_its_fault(script: str, release: str) -> None:
    ended = run_reproducers.run(script, release)
    assert ended.code == 1, ended.output
    assert ended.wrong, ended.output
    assert f"vllm {release}" in ended.output.splitlines()


FAULTS = [script for script in SCRIPTS if script.startswith("q")]
PREVENTED = [script for script in SCRIPTS if script.startswith("p")]


@pytest.mark.vllm
@pytest.mark.parametrize("script", PREVENTED)
def test_what_is_prevented_is_not_seen(script: str) -> None:
    ended = run_reproducers.run(script, "0.23.0")
    assert ended.code == 0, ended.output


@pytest.mark.vllm
@pytest.mark.parametrize("script", FAULTS)
def test_each_shows_a_wrong_read(script: str) -> None:
    shows_its_fault(script, "0.23.0")


@pytest.mark.releases
@pytest.mark.parametrize("script", UNFIXED)
def test_what_is_not_fixed_is_shown_by_the_newest_release(script: str) -> None:
    shows_its_fault(script, run_reproducers.RELEASES[-1])


def test_the_page_shows_what_was_measured() -> None:
    assert run_reproducers.with_tables(PAGE, RESULTS) == PAGE


def test_every_reproducer_was_measured_on_every_release() -> None:
    measured = {script: tuple(row) for script, row in RESULTS["outcomes"].items()}
    assert measured == dict.fromkeys(SCRIPTS, run_reproducers.RELEASES)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_reproducer_is_a_short_story_without_kvref(script: str) -> None:
    text = (run_reproducers.FOLDER / script).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 70
    assert "kvref" not in text
    named = run_reproducers.story(script)[0].replace("PROTO", "P").lower().replace("-", "")
    assert script.startswith(named + "_")


@pytest.mark.parametrize("shared", ["scheduler.py", "worker.py"])
def test_what_lies_beside_them_knows_nothing_of_kvref(shared: str) -> None:
    assert "kvref" not in (run_reproducers.FOLDER / shared).read_text(encoding="utf-8")


def test_their_ids_are_rules() -> None:
    shown = {run_reproducers.story(script)[0] for script in SCRIPTS}
    scheduler = {"Q-69", "Q-70", "Q-71", "Q-72", "Q-73", "Q-74"}
    assert shown == {"Q-18", "Q-55", "Q-56", "Q-57", "Q-58", "Q-59", "PROTO-13"} | scheduler
    assert shown <= mentions((ROOT / "spec" / "RULES.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("code", "output", "outcome"),
    [
        (1, "vllm 1\nWRONG: a read\n", "fault"),
        (0, "vllm 1\nsound\n", "sound"),
        (3, "vllm 1\n\nCANNOT RUN: no sessions\n\nCANNOT RUN: no loads\n", "cannot run: no sessions"),
        (1, "vllm 1\nTraceback (most recent call last):\nKeyError: 7\n", "cannot run: KeyError: 7"),
        (-9, "", "cannot run: no reason given"),
    ],
)
def test_what_an_end_is_called(code: int, output: str, outcome: str) -> None:
    assert run_reproducers.Ended(code, output).outcome == outcome


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"0.9.1": "fault", "0.10.0": "fault"}, "0.9.1 to 0.10.0; not fixed"),
        (
            {"0.9.1": "cannot run: x", "0.10.0": "fault", "0.11.0": "sound"},
            "0.10.0 to 0.10.0; sound from 0.11.0",
        ),
        ({"0.9.1": "sound"}, "never seen"),
    ],
)
def test_how_long_a_fault_lasts(row: dict[str, str], told: str) -> None:
    assert run_reproducers.lasting(row) == told
