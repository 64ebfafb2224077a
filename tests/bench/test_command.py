import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kvref import cli
from kvref.bench import runner
from kvref.bench.catalogue import BUILDERS
from kvref.bench.results import BenchResult
from kvref.bench.worker import Settings
from kvref.errors import UserError
from tests.bench.test_results import VOID, WORKLOAD, result

Ran = tuple[object, str, str]
SETTINGS = Settings(("pool-10k",), 1, 1, quick=True, vllm=False)
SMALL = ("--no-vllm", "--quick", "--repeats", 1, "--workload", "pool-10k")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["kvref", "bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_this_interpreter_is_measured(bench: Callable[..., Ran], tmp_path: Path) -> None:
    told, picture = tmp_path / "told" / "bench.json", tmp_path / "drawn" / "bench.svg"
    code, out, err = bench(*SMALL, "--json", told, "--plot", picture)
    assert (code, err) == (0, "")
    assert "decode (a call), 10k" in out
    found = msgspec.json.decode(told.read_bytes(), type=BenchResult).releases[0]
    assert found.release is None
    assert [workload.name for workload in found.workloads] == ["hashing", "pool-10k"]
    assert found.footprints[0].implementation == "reference"
    assert json.loads(told.read_text())["phases"]["decode"]
    assert picture.read_text().startswith("<?xml")


def test_a_picture_of_ratios(tmp_path: Path) -> None:
    from kvref.bench import plot  # noqa: PLC0415

    plot.draw(tmp_path / "bench.png", result(WORKLOAD))
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="none of which was measured"):
        plot.draw(tmp_path / "bench.png", result(VOID))


def test_void_figures_end_with_1(bench: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run", lambda *_: result(WORKLOAD, VOID))
    code, out, _ = bench("--no-vllm")
    assert code == 1
    assert "hybrid: b answers otherwise than a in free" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--workload", "fast"), "no workload is called 'fast'"),
        (("--repeats", 0), "--repeats 0 is not positive"),
        (("--plot", "bench.gif"), "name a file that ends in .svg or .png"),
        (("--no-vllm", "--python", sys.executable), "--python names one interpreter"),
        (("--release", "1.0.0", "--release", "2.0.0", "--python", "x"), "--python names one interpreter"),
        (("--release", "latest"), "'latest' is no release"),
        (("--python", sys.executable), "has no vllm"),
    ],
)
def test_bad_input_takes_one_line(bench: Callable[..., Ran], arguments: tuple[object, ...], why: str) -> None:
    code, _, err = bench(*arguments)
    assert code == 2
    (line,) = err.splitlines()
    assert why in line


def test_a_plot_without_matplotlib_is_refused_first(
    bench: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = bench(*SMALL, "--plot", "bench.svg")
    assert code == 2
    assert "pip install kvref[plot]" in err


def test_a_worker_that_dies_is_told() -> None:
    settings = msgspec.structs.replace(SETTINGS, workloads=("absent",))
    with pytest.raises(UserError, match=r"the worker has died \(KeyError: 'absent'\)"):
        runner.run_beside(Path(sys.executable), settings, lambda *_: None)


def test_the_worker_is_gone_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(KeyboardInterrupt):
        runner.run_beside(Path(sys.executable), SETTINGS, interrupted)
    (worker,) = started
    assert worker.returncode is not None


@pytest.mark.vllm
def test_the_real_vllm_answers_alike(bench: Callable[..., Ran], tmp_path: Path) -> None:
    told = tmp_path / "bench.json"
    code, _, err = bench("--quick", "--repeats", 1, "--json", told)
    assert (code, err) == (0, "")
    found = msgspec.json.decode(told.read_bytes(), type=BenchResult).releases[0]
    assert found.baseline == "vllm==0.23.0"
    assert [workload.name for workload in found.workloads] == ["hashing", *BUILDERS]
    assert all(workload.of("vllm==0.23.0") for workload in found.workloads)
