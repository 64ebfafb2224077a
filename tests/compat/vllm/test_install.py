"""Into which processes the module tree comes, and into which it does not."""

import subprocess
import sys
from pathlib import Path

import pytest


def python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


def program(source: str) -> subprocess.CompletedProcess[str]:
    return python("-c", source)


def test_a_process_that_does_not_ask_has_no_trace_of_it() -> None:
    done = program(
        "import sys; finders = list(sys.meta_path)\n"
        "import kvref, kvref.cli, kvref.reference, kvref.compat.vllm, kvref.compat.vllm.kv_cache_manager\n"
        "assert not [name for name in sys.modules if name == 'vllm' or name.startswith('vllm.')]\n"
        "assert [f for f in sys.meta_path if f not in finders and 'kvref' in type(f).__module__] == []\n"
        "assert 'torch' not in sys.modules"
    )
    assert done.returncode == 0, done.stderr


def test_a_process_that_installs_finds_a_manager_behind_vllms_names() -> None:
    done = program(
        "from kvref.compat.vllm import install; install(); install('reference')\n"
        "from vllm.v1.core.kv_cache_manager import KVCacheManager\n"
        "import vllm.v1.core.block_pool as pool\n"
        "import vllm\n"
        "assert vllm.v1.core.block_pool is pool\n"
        "print(KVCacheManager.__module__)"
    )
    assert done.stdout.strip() == "kvref.compat.vllm.kv_cache_manager", done.stderr


def test_a_module_without_a_view_is_told_by_name() -> None:
    done = program("from kvref.compat.vllm import install; install(); import vllm.v1.core.sched.scheduler")
    assert "vllm.v1.core.sched has no view over kvref" in done.stderr


def test_an_unknown_manager_is_refused_with_the_known_ones() -> None:
    done = python("-m", "kvref.compat.vllm", "--manager", "imagined", "--", "pytest")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "choose one of" in done.stderr
    assert "reference" in done.stderr


def test_a_process_that_has_imported_vllm_itself_is_refused() -> None:
    done = program(
        "import sys, types; sys.modules['vllm'] = types.ModuleType('vllm')\n"
        "from kvref.compat.vllm import install; install()"
    )
    assert "install the views before it" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((), "give a program"),
        (("--", "no_such_module"), "there is no module no_such_module"),
        (("--", "no_such_file.py"), "there is no file no_such_file.py"),
    ],
)
def test_a_command_that_cannot_be_takes_one_line(command: tuple[str, ...], said: str) -> None:
    done = python("-m", "kvref.compat.vllm", *command)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_file_runs_with_its_arguments_and_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys, vllm.v1.request\nprint(sys.argv[1:], vllm.v1.request.__file__)\nsys.exit(3)"
    )
    done = python("-m", "kvref.compat.vllm", "--", "program.py", "-x", "y", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout.startswith("['-x', 'y']")


def test_pytest_runs_a_test_file_beside_a_conftest_that_wants_all_of_vllm(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import vllm.entrypoints")
    (tmp_path / "test_it.py").write_text(
        "from vllm.v1.core.block_pool import BlockPool\n"
        "def test_a_pool():\n"
        "    assert BlockPool(5, True, 4).get_num_free_blocks() == 4\n"
    )
    done = python("-m", "kvref.compat.vllm", "--", "pytest", "-q", "test_it.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
