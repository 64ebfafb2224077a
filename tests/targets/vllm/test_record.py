"""The real vLLM's scheduler and manager, recorded and followed: the engine does what it does alone."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvref.record.reader import Recording
from kvref.record.replay import AsRecorded, Replay, Replayed
from kvref.scheduler.workloads import WORKLOADS
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm import environment, interpreter, overlay
from tests.rules_index import ROOT
from tools.compile import compile_taps

pytestmark = pytest.mark.vllm
ENGINE = ROOT / "tests" / "record" / "engine.py"
STEPS = "300"


@dataclass
class Ran:
    code: int
    out: str
    log: str

    @property
    def digest(self) -> str:
        return next(line for line in self.out.splitlines() if len(line) == 64)


def kvref(python: Path, command: str, *options: str, engine: tuple[str, ...], path: str = "") -> Ran:
    words = [sys.executable, "-m", "kvref.cli", command, *options, "--", str(python), str(ENGINE), *engine]
    return ran(words, path)


def ran(words: list[str], path: str = "") -> Ran:
    found = os.pathsep.join(filter(None, [str(ROOT), path]))
    variables = {**os.environ, "PYTHONPATH": found, "PYTHONHASHSEED": "0"}
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=300)  # noqa: S603
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def python() -> Path:
    return environment.python_for("0.23.0", progress=print)


@pytest.fixture(scope="module")
def alone(python: Path) -> dict[tuple[str, ...], str]:
    """What the engine does when nobody looks."""

    class Alone(dict[tuple[str, ...], str]):
        def __missing__(self, engine: tuple[str, ...]) -> str:
            self[engine] = ran([str(python), str(ENGINE), *engine]).digest
            return self[engine]

    return Alone()


def as_recorded(path: Path) -> tuple[Recording, Replayed]:
    recording = Recording(path)
    header = recording.header
    replay = Replay(
        header.configuration,
        recording.told,
        ReferenceSession,
        lambda: AsRecorded(header.configuration, blocks=header.blocks),
    )
    return recording, replay.run()


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        (("1", STEPS, "hybrid"), ("--tokens", "hash", "--snapshots", "7")),
        (("2", STEPS, "states", "async"), ("--tokens", "keep")),
        (("3", STEPS, "full"), ("--calls-only",)),
    ],
)
def test_the_reference_decides_as_the_recorded_engine_did(
    tmp_path: Path,
    python: Path,
    alone: dict[tuple[str, ...], str],
    engine: tuple[str, ...],
    options: tuple[str, ...],
) -> None:
    path = tmp_path / "a.kvr"
    done = kvref(python, "record", "--out", str(path), *options, engine=engine)
    assert done.code == 0, done.log
    assert f"recorded   {path}" in done.out
    assert done.digest == alone[engine]
    recording, found = as_recorded(path)
    assert found.wrong == ()
    assert recording.ends_early is None
    assert found.agreed > 2000


def test_the_newest_parts_of_a_recording_are_replayed_from_the_middle(
    tmp_path: Path, python: Path, alone: dict[tuple[str, ...], str]
) -> None:
    path, engine = tmp_path / "a.kvr", ("1", STEPS, "hybrid", "slow")
    done = kvref(python, "record", "--out", str(path), "--megabytes", "0.005", "--parts", "3", engine=engine)
    assert done.code == 0, done.log
    assert done.digest == alone["1", STEPS, "hybrid"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.kvr", "a.kvr.1", "a.kvr.2"]
    for name in ("a.kvr", "a.kvr.1"):
        replayed = ran(
            [sys.executable, "-m", "kvref.cli", "replay", str(tmp_path / name), "--target", "recorded"]
        )
        assert replayed.code == 0, replayed.out + replayed.log
        assert "begins in the middle" in replayed.out


def test_what_a_recorded_engine_read_is_checked(tmp_path: Path, python: Path) -> None:
    path = tmp_path / "a.kvr"
    assert kvref(python, "record", "--out", str(path), engine=("1", "100", "hybrid")).code == 0
    command = ["replay", str(path), "--target", "recorded", "--level", "safe"]
    replayed = ran([sys.executable, "-m", "kvref.cli", *command])
    assert replayed.code == 0, replayed.out + replayed.log
    assert "nothing is wrong" in replayed.out


def test_a_recording_is_performed_by_vllm_itself(tmp_path: Path, python: Path) -> None:
    path = tmp_path / "a.kvr"
    assert kvref(python, "record", "--out", str(path), engine=("1", "100", "hybrid")).code == 0
    replayed = ran([sys.executable, "-m", "kvref.cli", "replay", str(path), "--target", "vllm==0.23.0"])
    assert replayed.code == 0, replayed.log
    assert "operations agree" in replayed.out


def test_an_engine_that_is_killed_leaves_what_it_did(tmp_path: Path, python: Path) -> None:
    path = tmp_path / "a.kvr"
    done = kvref(python, "record", "--out", str(path), engine=("1", STEPS, "hybrid", "killed"))
    assert done.code != 0
    recording, found = as_recorded(path)
    assert found.wrong == ()
    assert found.agreed > 2000
    assert recording.ends_early is None


@pytest.mark.parametrize(
    ("trouble", "told"),
    [("recorder", "a defect of the recorder: ValueError: this is ours"), ("disk", "File too")],
)
def test_our_troubles_are_one_line_and_not_the_engines(
    tmp_path: Path, python: Path, alone: dict[tuple[str, ...], str], trouble: str, told: str
) -> None:
    path = tmp_path / "a.kvr"
    done = kvref(python, "record", "--out", str(path), engine=("1", STEPS, "hybrid", trouble))
    assert done.code == 0
    assert done.digest == alone["1", STEPS, "hybrid"]
    lines = [line for line in done.log.splitlines() if "the engine goes on" in line]
    assert len(lines) == 1
    assert told in lines[0]
    recording, found = as_recorded(path)
    assert found.wrong == ()
    assert 50 < found.agreed < 2000
    if trouble == "recorder":  # where a disk is full, its last frame may be whole
        assert recording.ends_early is not None


def test_a_path_that_cannot_be_written_is_one_line(
    tmp_path: Path, python: Path, alone: dict[tuple[str, ...], str]
) -> None:
    path = tmp_path / "none" / "a.kvr"
    done = kvref(python, "record", "--out", str(path), engine=("1", STEPS, "hybrid"))
    assert done.code == 2
    assert done.digest == alone["1", STEPS, "hybrid"]
    assert "nothing is recorded, the engine goes on" in done.log
    assert "kvref: nothing was recorded" in done.log


def test_a_shadow_agrees_with_a_sound_engine(
    tmp_path: Path, python: Path, alone: dict[tuple[str, ...], str]
) -> None:
    engine = ("2", STEPS, "states", "async")
    folder = tmp_path / "shadow"
    done = kvref(python, "shadow", "--out", str(folder), "--every", "3", engine=engine)
    assert done.code == 0, done.out
    assert done.digest == alone[engine]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["differences"] == 0
    assert summary["ended"] is None
    assert summary["operations"] > 2000
    assert summary["states"] == 100
    cost = summary["cost"]
    assert cost["notes"] > 2000
    assert cost["timed"] > 0
    assert cost["states"] > 50
    assert "of the engine's thread" in done.out


def test_a_shadow_finds_a_defect_and_goes_on_behind_it(
    tmp_path: Path, python: Path, alone: dict[tuple[str, ...], str]
) -> None:
    engine = ("1", STEPS, "hybrid", "slow", "defect")
    folder = tmp_path / "shadow"
    done = kvref(python, "shadow", "--out", str(folder), engine=engine)
    assert done.code == 1
    assert done.digest == alone["1", STEPS, "hybrid", "defect"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["differences"] > 1
    assert summary["resumed"] >= summary["differences"] - 1
    assert summary["unfollowed"] < summary["operations"] / 2
    assert (folder / "difference-02.json").exists()


def test_a_command_is_ended_at_a_difference_if_asked(tmp_path: Path, python: Path) -> None:
    engine = ("1", "30000", "hybrid", "slow", "defect")
    folder = tmp_path / "shadow"
    done = kvref(python, "shadow", "--out", str(folder), "--on-difference", "stop", engine=engine)
    assert done.code == 1
    assert "it was to stop at a difference" in done.out


@pytest.mark.releases
@pytest.mark.parametrize("kind", ["full", "hybrid", "states"])
@pytest.mark.parametrize("level", ["invariants", "safe"])
def test_the_newest_release_is_followed(tmp_path: Path, kind: str, level: str) -> None:
    interpreter, packages = overlay.interpreter_for("0.33.0", progress=print)
    folder = tmp_path / "shadow"
    options = ("--out", str(folder), "--level", level, "--every", "1")
    done = kvref(interpreter, "shadow", *options, engine=("1", STEPS, kind), path=str(packages or ""))
    assert done.code == 0, done.log
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["differences"], summary["states"]) == (0, int(STEPS))
    assert summary["ended"] is None
    assert (summary["checked"] > 1000) == (level == "safe")


def test_native_taps_record_the_same_bytes_as_plain_ones(tmp_path: Path, python: Path) -> None:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    compile_taps(tmp_path)
    (built,) = tmp_path.glob("native_taps.*")
    done = subprocess.run(  # noqa: S603 - ours
        [str(python), str(ENGINE.with_name("workloads.py")), str(built)],
        env=interpreter.variables(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines() if len(line.split()[-1]) == 64]
    assert [name for name, *_ in told] == [workload.name for workload in WORKLOADS]
    assert sum(int(count) for _, count, *_ in told) > 40_000
    assert [name for name, _, plain, native in told if plain != native] == []
