"""Another release's Python files are had once, whole, and laid over the one environment."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.targets.registry import open_target
from kvref.targets.vllm import making, overlay
from kvref.targets.vllm.making import EnvironmentUnavailable
from kvref.targets.vllm.overlay import interpreter_for
from tests.targets.vllm.machine import FakeMachine

UNREACHABLE = "ReadTimeoutError: HTTPSConnectionPool(host='files.pythonhosted.org'): Read timed out.\n"
NO_SUCH_RELEASE = "ERROR: No matching distribution found for vllm==9.9.9\n"
WRONG_DIGEST = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"


def wheel() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as files:
        for name in (
            "vllm/__init__.py",
            "vllm/_C.abi3.so",
            "vllm-1.dist-info/METADATA",
            "vllm-1.dist-info/RECORD",
        ):
            files.writestr(name, name)
    return held.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("KVREF_CACHE_DIR", str(folder))
    monkeypatch.setattr(making, "PAUSE_S", 0.0)
    return folder


@pytest.fixture
def machine() -> FakeMachine:
    made = FakeMachine()
    made.wheel = wheel()
    return made


def silent(_: str) -> None:
    pass


def had(machine: FakeMachine, release: str = "0.24.0", tell: Callable[[str], None] = silent) -> Path:
    python, packages = interpreter_for(release, progress=tell, run=machine)
    assert python.exists()
    assert packages is not None
    return packages


def failure(machine: FakeMachine) -> str:
    with pytest.raises(EnvironmentUnavailable) as caught:
        had(machine)
    text = str(caught.value)
    assert "\n" not in text
    assert "vllm 0.24.0: " in text
    return text


def assert_nothing_half_done(cache: Path) -> None:
    assert not list(cache.glob("download-*"))
    assert not list(cache.glob("vllm-0.24.0-*/complete"))


def test_a_release_with_a_list_of_its_own_has_an_environment_and_nothing_laid_over(
    machine: FakeMachine,
) -> None:
    python, packages = interpreter_for("0.23.0", progress=silent, run=machine)
    assert "vllm-0.23.0-" in str(python)
    assert packages is None
    assert machine.count("download") == 0


def test_of_another_release_the_python_files_and_its_name_are_kept(cache: Path, machine: FakeMachine) -> None:
    packages = had(machine)
    kept = sorted(str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file())
    assert kept == ["complete", "vllm-1.dist-info/METADATA", "vllm/__init__.py"]
    assert packages.parent == cache
    assert not list(cache.glob("download-*"))


def test_releases_share_one_environment(cache: Path, machine: FakeMachine) -> None:
    had(machine)
    had(machine, "0.22.1")
    assert machine.count("venv") == 1
    assert machine.count("download") == 2
    assert len(list(cache.glob("vllm-*/bin/python"))) == 1


def test_it_is_imported_from_its_folder(machine: FakeMachine) -> None:
    packages = had(machine)
    assert "vllm.v1.core.kv_cache_manager" in machine.commands[-1][-1]
    assert machine.extras[-1]["PYTHONPATH"] == str(packages)


def test_pip_keeps_no_copy_of_the_wheel(machine: FakeMachine) -> None:
    had(machine)
    (download,) = (command for command in machine.commands if "download" in command)
    assert "--no-cache-dir" in download
    assert "--no-deps" in download


def test_what_is_there_is_used_without_running_anything(machine: FakeMachine) -> None:
    first = had(machine)
    again = FakeMachine()
    assert had(again) == first
    assert again.commands == []


def test_an_unreachable_index_is_told_after_three_attempts(cache: Path, machine: FakeMachine) -> None:
    machine.broken = {"vllm==0.24.0": UNREACHABLE}
    assert "the package index cannot be reached (3 attempts)" in failure(machine)
    assert machine.count("download") == 3
    assert_nothing_half_done(cache)


def test_a_download_that_works_at_last_is_no_failure(machine: FakeMachine) -> None:
    machine.broken = {"vllm==0.24.0": UNREACHABLE}
    machine.mended_after = 2
    assert had(machine).exists()


def test_a_release_that_the_index_does_not_have(machine: FakeMachine) -> None:
    machine.broken = {"download": NO_SUCH_RELEASE}
    assert "the package index has no vllm==9.9.9" in failure(machine)


def test_a_wheel_with_another_digest_than_the_index_states_is_pips_to_refuse(
    cache: Path, machine: FakeMachine
) -> None:
    machine.broken = {"download": WRONG_DIGEST}
    assert "DO NOT MATCH THE HASHES" in failure(machine)
    assert_nothing_half_done(cache)


def test_a_wheel_that_is_no_zip_file(cache: Path, machine: FakeMachine) -> None:
    machine.wheel = b"<html>please log in</html>"
    assert "its wheel cannot be unpacked (File is not a zip file)" in failure(machine)
    assert_nothing_half_done(cache)


def test_a_full_disk(machine: FakeMachine) -> None:
    machine.broken = {"download": "OSError: [Errno 28] No space left on device\n"}
    assert "no disk space left" in failure(machine)
    assert "free some 500 MB" in failure(machine)


def test_a_folder_that_was_left_half_done_is_made_anew(machine: FakeMachine) -> None:
    packages = had(machine)
    (packages / "complete").unlink()
    (packages / "left-over").touch()
    told: list[str] = []
    assert had(machine, tell=told.append) == packages
    assert not (packages / "left-over").exists()
    assert any("throwing away the half-built or broken folder" in line for line in told)


def test_the_module_that_a_release_lacks_is_named(machine: FakeMachine) -> None:
    interpreter_for("0.23.0", progress=silent, run=machine)
    machine.broken = {"import vllm.v1": "ModuleNotFoundError: No module named 'newthing'\n"}
    assert "asks for the module newthing, which requirements-0.23.0.txt does not bring" in failure(machine)


def test_something_that_is_no_release_runs_nothing(machine: FakeMachine) -> None:
    with pytest.raises(EnvironmentUnavailable, match="is no release"):
        interpreter_for("latest", progress=silent, run=machine)
    assert machine.commands == []


def test_the_target_tells_it_as_a_line_for_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise EnvironmentUnavailable("no index")

    monkeypatch.setattr(overlay, "interpreter_for", unavailable)
    with pytest.raises(UserError, match="no index"):
        open_target("vllm==0.24.0", python=None, tell=silent)
