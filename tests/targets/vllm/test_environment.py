import sys
import threading
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from kvref.targets.vllm import environment, making
from kvref.targets.vllm.environment import current_python, python_at, python_for, release_of
from kvref.targets.vllm.making import EnvironmentUnavailable, run_command
from tests.targets.vllm.machine import FakeMachine

# What pip 23.2 and pip 26.3 really said, shortened.
UNREACHABLE = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection \
broken by 'NewConnectionError("HTTPConnection(host='127.0.0.1', port=9): Failed to establish a new \
connection: [Errno 111] Connection refused")': /simple/vllm/
ERROR: Could not find a version that satisfies the requirement vllm==0.23.0 (from versions: none)
ERROR: No matching distribution found for vllm==0.23.0
"""
PROXY_DOWN = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection \
broken by 'ProxyError('Cannot connect to proxy.', OSError(0, 'Error'))': /simple/vllm/
ERROR: Could not find a version that satisfies the requirement vllm==0.23.0 (from versions: none)
ERROR: No matching distribution found for vllm==0.23.0
"""
OTHER_INDEX_HAS_ANOTHER = UNREACHABLE.replace("(from versions: none)", "(from versions: 0.22.1)")
READ_TIMED_OUT = "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool: Read timed out.\n"
NO_SUCH_RELEASE = """\
WARNING: Retrying (Retry(total=1)) after connection broken by 'ReadTimeoutError("timed out")': /simple/vllm/
ERROR: Could not find a version that satisfies the requirement vllm==9.9.9 (from versions: 0.22.1, 0.23.0)
ERROR: No matching distribution found for vllm==9.9.9
"""
DISK_FULL = "cc: error: No space left on device\n"
DISK_FULL_IN_GERMAN = "OSError: [Errno 28] Auf dem Gerät ist kein Speicherplatz mehr verfügbar\n"
OTHER = """\
WARNING: Retrying (Retry(total=1)) after connection broken by 'ReadTimeoutError("timed out")': /simple/gguf/
Collecting async-timeout
ERROR: gguf has an invalid wheel, .dist-info directory not found

"""
CUDA_TORCH = ["torch", "nvidia-cublas", "triton", "sympy"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("KVREF_CACHE_DIR", str(folder))
    monkeypatch.setattr(making, "PAUSE_S", 0.0)
    return folder


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


def silent(_: str) -> None:
    pass


def failure(machine: FakeMachine, release: str = "0.23.0", tell: Callable[[str], None] = silent) -> str:
    with pytest.raises(EnvironmentUnavailable) as caught:
        python_for(release, progress=tell, run=machine)
    text = str(caught.value)
    assert "\n" not in text
    assert f"vllm {release}: " in text
    return text


def log_of(cache: Path) -> Path:
    (log,) = cache.glob("*.log")
    return log


def test_a_new_environment_is_made_in_the_cache_folder(cache: Path, machine: FakeMachine) -> None:
    python = python_for("0.23.0", progress=silent, run=machine)
    assert python.exists()
    assert python.parent.parent.parent == cache
    folder = python.parent.parent.name
    assert folder.startswith(f"vllm-0.23.0-py{sys.version_info.major}.{sys.version_info.minor}-")


def test_vllm_and_the_pinned_list_are_installed_without_dependencies_and_torch_with_its_own(
    machine: FakeMachine,
) -> None:
    python_for("0.23.0", progress=silent, run=machine)
    by_last = {command[-1]: command for command in machine.commands if "--dry-run" not in command}
    assert "--no-deps" in by_last["vllm==0.23.0"]
    (pins,) = (command for last, command in by_last.items() if last.endswith("requirements-0.23.0.txt"))
    assert "--no-deps" in pins
    assert "--no-deps" not in by_last["torch==2.13.0"]


def test_the_import_is_tried_without_a_word_to_any_hub_or_usage_server(machine: FakeMachine) -> None:
    python_for("0.23.0", progress=silent, run=machine)
    assert "vllm.v1.core.kv_cache_manager" in machine.commands[-1][-1]
    assert machine.extras[-1] == {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


def test_a_complete_environment_is_used_again_without_running_anything(machine: FakeMachine) -> None:
    first = python_for("0.23.0", progress=silent, run=machine)
    again = FakeMachine()
    assert python_for("0.23.0", progress=silent, run=again) == first
    assert again.commands == []


def test_a_half_built_environment_is_thrown_away_and_made_anew(cache: Path, machine: FakeMachine) -> None:
    machine.broken = {"requirements-": OTHER}
    failure(machine)
    (half,) = (path for path in cache.iterdir() if path.is_dir())
    (half / "left-over").touch()
    told: list[str] = []
    python = python_for("0.23.0", progress=told.append, run=FakeMachine())
    assert python.parent.parent == half
    assert not (half / "left-over").exists()
    assert any("throwing away" in line for line in told)


def test_an_environment_whose_import_fails_is_not_taken_for_complete(machine: FakeMachine) -> None:
    machine.broken = {"import vllm": "ImportError: no"}
    failure(machine)
    again = FakeMachine()
    python_for("0.23.0", progress=silent, run=again)
    assert again.count("venv") == 1


def test_an_environment_whose_interpreter_is_gone_is_made_anew(cache: Path, machine: FakeMachine) -> None:
    python = python_for("0.23.0", progress=silent, run=machine)
    python.unlink()
    python.symlink_to(cache / "uninstalled")
    assert python_for("0.23.0", progress=silent, run=FakeMachine()).exists()


def test_another_pinned_list_asks_for_another_environment(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = python_for("0.23.0", progress=silent, run=machine)
    (tmp_path / "requirements-0.23.0.txt").write_text("pip==1\ntorch==2\n")
    monkeypatch.setattr(environment, "_LISTS", tmp_path)
    assert python_for("0.23.0", progress=silent, run=machine) != first


def test_the_newest_pinned_list_serves_a_release_without_one(
    machine: FakeMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for known in ("0.9.0", "0.23.0"):
        (tmp_path / f"requirements-{known}.txt").write_text("pip==1\ntorch==2\n")
    monkeypatch.setattr(environment, "_LISTS", tmp_path)
    told: list[str] = []
    python_for("0.24.0", progress=told.append, run=machine)
    assert machine.count("requirements-0.23.0.txt") == 1
    assert machine.count("vllm==0.24.0") == 1
    assert any("no pinned list" in line for line in told)


def test_a_process_that_waited_for_the_builder_uses_what_that_one_built(
    cache: Path, machine: FakeMachine
) -> None:
    waiting = threading.Event()
    pythons: list[Path] = []

    def wait(line: str) -> None:
        if "waiting for the process" in line:
            waiting.set()

    built = python_for("0.23.0", progress=silent, run=machine)
    marker = built.parent.parent / "complete"
    marker.unlink()
    second = FakeMachine()
    with filelock.FileLock(cache / f"{built.parent.parent.name}.lock"):
        thread = threading.Thread(
            target=lambda: pythons.append(python_for("0.23.0", progress=wait, run=second))
        )
        thread.start()
        assert waiting.wait(10)
        marker.touch()
    thread.join(10)
    assert pythons == [built]
    assert second.commands == []


@pytest.mark.parametrize("said", [UNREACHABLE, PROXY_DOWN, OTHER_INDEX_HAS_ANOTHER, READ_TIMED_OUT])
def test_an_unreachable_index_is_told_in_one_line_after_three_attempts(
    cache: Path, machine: FakeMachine, said: str
) -> None:
    machine.broken = {"vllm==": said}
    text = failure(machine)
    assert "the package index cannot be reached (3 attempts)" in text
    assert "--python PATH" in text
    assert str(log_of(cache)) in text
    assert machine.count("vllm==") == 3


def test_an_index_that_comes_back_is_no_failure(machine: FakeMachine) -> None:
    machine.broken = {"vllm==": UNREACHABLE}
    machine.mended_after = 2
    assert python_for("0.23.0", progress=silent, run=machine).exists()
    assert machine.count("vllm==") == 3


def test_a_release_that_does_not_exist_is_told_at_once_even_where_the_network_hiccupped(
    machine: FakeMachine,
) -> None:
    machine.broken = {"vllm==": NO_SUCH_RELEASE}
    text = failure(machine, "9.9.9")
    assert "the package index has no vllm==9.9.9" in text
    assert machine.count("vllm==") == 1
    assert machine.count("torch==") == 0


def test_something_that_is_no_release_runs_nothing(machine: FakeMachine) -> None:
    with pytest.raises(EnvironmentUnavailable, match=r"'0.23.0 --pre' is no release; name one like 0.23.0"):
        python_for("0.23.0 --pre", progress=silent, run=machine)
    assert machine.commands == []


@pytest.mark.parametrize("said", [DISK_FULL, DISK_FULL_IN_GERMAN])
@pytest.mark.parametrize("step", ["venv", "torch==", "requirements-"])
def test_a_full_disk_is_told_in_one_line(cache: Path, machine: FakeMachine, step: str, said: str) -> None:
    machine.broken = {step: said}
    text = failure(machine)
    assert f"no disk space left for {cache}" in text
    assert "KVREF_CACHE_DIR" in text
    assert machine.count(step) == 1


def test_a_cache_folder_that_cannot_be_made_is_told_in_one_line(cache: Path, machine: FakeMachine) -> None:
    cache.write_text("a file")
    text = failure(machine)
    assert f"cannot be made in {cache}" in text
    assert "KVREF_CACHE_DIR" in text


def test_another_failure_of_pip_is_told_by_its_last_line_and_the_log(
    cache: Path, machine: FakeMachine
) -> None:
    machine.broken = {"requirements-": OTHER}
    text = failure(machine)
    assert "'ERROR: gguf has an invalid wheel, .dist-info directory not found'" in text
    assert str(log_of(cache)) in text
    assert OTHER in log_of(cache).read_text()
    assert machine.count("requirements-") == 1


def test_the_module_that_an_unknown_release_lacks_is_named(machine: FakeMachine) -> None:
    machine.broken = {"import vllm": "Traceback\nModuleNotFoundError: No module named 'newthing'\n"}
    text = failure(machine, "0.99.0")
    assert "asks for the module newthing, which requirements-0.23.0.txt does not bring" in text


def test_an_import_that_fails_otherwise_is_told_by_its_last_line(machine: FakeMachine) -> None:
    machine.broken = {"import vllm": "Traceback\nImportError: cannot import name 'x'\n"}
    assert "its import failed: ImportError: cannot import name 'x' (log: " in failure(machine)


def test_a_torch_with_cuda_is_announced_with_its_size_before_it_is_installed() -> None:
    machine = FakeMachine(torch=CUDA_TORCH)
    installs_when_told: list[int] = []

    def tell(line: str) -> None:
        if "torch 2.13.0 with CUDA: 4 packages, several GB" in line:
            installs_when_told.append(machine.count("torch==") - machine.count("--dry-run"))

    python_for("0.23.0", progress=tell, run=machine)
    assert installs_when_told == [0]
    assert machine.count("torch==") - machine.count("--dry-run") == 1


def test_a_torch_for_the_cpu_is_not_announced_as_large(machine: FakeMachine) -> None:
    told: list[str] = []
    python_for("0.23.0", progress=told.append, run=machine)
    assert any("installing CPU torch 2.13.0 [" in line for line in told)
    assert not any("GB" in line for line in told)


def test_each_stage_is_told_in_one_line_with_the_seconds(
    machine: FakeMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    python_for("0.23.0", progress=told.append, run=machine)
    assert len(told) == 7
    for line in told:
        assert line.startswith("vllm 0.23.0: ")
        assert line.endswith("s]")
        assert "\n" not in line
    assert capsys.readouterr() == ("", "")


def test_a_timeout_in_pips_own_configuration_is_left_alone(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "180")
    python_for("0.23.0", progress=silent, run=machine)
    assert machine.count("--timeout") == 0


def test_the_real_pip_with_an_index_that_refuses_connections_is_understood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(making, "ATTEMPTS", 1)
    with pytest.raises(EnvironmentUnavailable, match="the package index cannot be reached"):
        python_for("0.23.0", progress=silent)


def test_an_interpreter_given_by_path_is_not_resolved_past_its_environment(
    tmp_path: Path, machine: FakeMachine
) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    assert python_at(link, run=machine) == link
    assert machine.commands[0][0] == str(link)


def test_an_interpreter_without_vllm_is_refused_by_name(tmp_path: Path) -> None:
    machine = FakeMachine()
    machine.broken = {"importlib": "PackageNotFoundError: vllm"}
    with pytest.raises(EnvironmentUnavailable, match=f"{tmp_path}/python has no vllm; install it there"):
        python_at(tmp_path / "python", run=machine)


def test_a_path_that_is_no_interpreter_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnavailable, match=f"{tmp_path}/nothing cannot be run"):
        python_at(tmp_path / "nothing")


def test_the_current_interpreter_serves_only_where_it_has_vllm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EnvironmentUnavailable, match="has no vllm"):
        current_python()
    (tmp_path / "vllm.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert current_python() == Path(sys.executable)


def test_the_release_is_read_from_what_the_interpreter_has_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vllm-1.2.3.dist-info").mkdir()
    (tmp_path / "vllm-1.2.3.dist-info" / "METADATA").write_text("Name: vllm\nVersion: 1.2.3\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert release_of(Path(sys.executable), run=run_command) == "1.2.3"
