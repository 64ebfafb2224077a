"""Compiles: with mypyc the optimized manager, or all that a step of `kvref fuzz` runs through; in C a recorder's taps.

`kvref/optimized` becomes the package `kvref.compiled` beside it, and `kvref/record/native_taps.c` a module that
`kvref record` uses where it is there. With `--tree FOLDER`, a copy of the packages is
made there, whose spec, invariants, reference and generator are native modules, too: `PYTHONPATH=FOLDER python -m
kvref.cli fuzz` draws the same cases and shows the same, faster. The sources are the same, and the pure form stays
as it is. Needs mypy and a C compiler; what is built belongs to this interpreter and is not kept in git.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "kvref" / "optimized"
COMPILED = ROOT / "kvref" / "compiled"
RECORD = ROOT / "kvref" / "record"
TAPS = "native_taps"
PACKAGES = ("kvref", "spec", "invariants")

LOOP = (
    "spec/*.py",
    "invariants/*.py",
    "kvref/reference/*.py",
    *(f"kvref/{name}.py" for name in ("protocol", "witness", "request", "hashing", "stats")),
    *(f"kvref/fuzz/{name}.py" for name in ("admission", "care", "choices", "configurations", "coverage")),
    *(
        f"kvref/fuzz/{name}.py"
        for name in ("generate", "habits", "prompts", "results", "running", "upheavals")
    ),
)
"""What a step runs through, but for classes that others are derived from, and structs of msgspec."""

PURE = (
    *("__init__.py", "invariants/checker.py", "invariants/step.py", "invariants/view.py"),
    *("spec/attention.py", "spec/units.py"),
)
"""Of these, what stays as it is: data, abstract dataclasses, a table of invariants whose types mypyc does not determine."""

SET_UP = """
from setuptools import setup
from mypyc.build import mypycify

modules = {modules!r}
setup(
    name="kvref-compiled",
    ext_modules=mypycify(
        ["--config-file=mypy.ini", *modules],
        opt_level="{level}",
        debug_level="0",
        separate=[(modules, "{library}")],
    ),
)
"""

SET_UP_TAPS = """
from setuptools import Extension, setup

setup(name="kvref-taps", ext_modules=[Extension("{name}", ["{name}.c"], extra_compile_args=["-O3"])])
"""

MYPY = """[mypy]
strict = True
follow_imports = silent

[mypy-torch.*,ray.*,vllm.*,coverage.*]
follow_imports = skip
ignore_missing_imports = True
"""


def copy_packages(room: Path, packages: Sequence[str]) -> None:
    """Copy the sources of these packages to the folder `room`."""
    for package in packages:
        shutil.copytree(
            ROOT / package, room / package, ignore=shutil.ignore_patterns("compiled", "*.so", "__pycache__")
        )


def build(room: Path, modules: Sequence[str], library: str, level: int) -> None:
    """Put the extension modules of these sources of the folder `room` beside them."""
    (room / "mypy.ini").write_text(MYPY, encoding="utf-8")
    text = SET_UP.format(modules=list(modules), library=library, level=level)
    build_extensions(room, text)


def build_extensions(room: Path, set_up: str) -> None:
    """Put the extension modules that a `setup.py` tells of into the folder `room`."""
    (room / "setup.py").write_text(set_up, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=room,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"compile: mypyc or the C compiler failed:\n{done.stdout}{done.stderr}")


def compile_into(target: Path) -> None:
    """Build the extension modules of `kvref.compiled` in the folder `target`."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        copy_packages(room, ("kvref", "spec"))
        shutil.copytree(SOURCES, room / "kvref" / "compiled")
        sources = (room / "kvref" / "compiled").glob("[!_]*.py")
        build(room, sorted(str(path.relative_to(room)) for path in sources), "kvref.compiled.native", 3)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        # The package itself is imported before the library that its modules share.
        shutil.copy2(SOURCES / "__init__.py", target)
        for built in (room / "kvref" / "compiled").glob("*.so"):
            shutil.copy2(built, target)


def compile_taps(target: Path) -> None:
    """Build the native taps of a recorder in the folder `target`."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        shutil.copy2(RECORD / f"{TAPS}.c", room)
        build_extensions(room, SET_UP_TAPS.format(name=TAPS))
        for built in room.glob(f"{TAPS}.*.so"):
            aside = target / f".{built.name}"
            shutil.copy2(built, aside)
            aside.replace(target / built.name)  # an engine may run with the one before


def native_sources(room: Path) -> list[str]:
    """The sources in the folder `room` that become native in a tree."""
    found = (str(path.relative_to(room)) for pattern in LOOP for path in room.glob(pattern))
    return sorted(name for name in found if not name.endswith(PURE))


def compile_tree(target: Path) -> None:
    """Make a copy of the packages in the folder `target`, in which the fuzzer's loop is native, too."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        copy_packages(room, PACKAGES)
        build(room, native_sources(room), "kvref.native", 2)
        shutil.rmtree(target, ignore_errors=True)
        for package in PACKAGES:
            shutil.copytree(room / package, target / package)
    compile_into(target / "kvref" / "compiled")
    compile_taps(target / "kvref" / "record")


def main() -> None:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, help="a folder for a copy whose loop is native; it is replaced")
    options = parser.parse_args()
    if options.tree is None:
        compile_into(COMPILED)
        print("kvref/compiled is built: kvref fuzz --target compiled")
        compile_taps(RECORD)
        print(
            "kvref/record/native_taps is built: kvref record and kvref shadow use it in this Python's engines"
        )
        return
    if options.tree.is_file() or any(path.name not in PACKAGES for path in options.tree.glob("*")):
        sys.exit(f"compile: {options.tree} is there, and is no such copy: name a folder of its own")
    compile_tree(options.tree)
    print(f"{options.tree} is built: PYTHONPATH={options.tree} python -m kvref.cli fuzz --target optimized")


if __name__ == "__main__":
    main()
