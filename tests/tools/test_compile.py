"""What `tools/compile.py` makes native, and where it does not write."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tools.compile import LOOP, PACKAGES, ROOT, native_sources


def module_of(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


@pytest.mark.parametrize("pattern", LOOP)
def test_every_pattern_of_the_loop_names_sources(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


def test_no_class_of_a_native_module_has_a_subclass_that_is_not_native() -> None:
    native = native_sources(ROOT)
    modules = {module_of(name) for name in native}
    others = {
        str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    } - {*native}
    derived = []
    for name in sorted(others):
        tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in modules
            for alias in node.names
        }
        derived += [
            f"{name}: {node.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and any(isinstance(base, ast.Name) and base.id in imported for base in node.bases)
        ]
    assert not derived


def test_a_folder_that_holds_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine", encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own tool
        [sys.executable, str(ROOT / "tools" / "compile.py"), "--tree", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "name a folder of its own" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
