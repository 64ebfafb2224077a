"""Compiles the optimized manager with mypyc: `kvref/optimized` becomes the package `kvref.compiled` beside it.

The sources are the same, and the pure form stays as it is. Needs mypy and a C compiler; what is built
belongs to this interpreter and is not kept in git.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "kvref" / "optimized"
PACKAGE = "kvref.compiled"

SET_UP = """
from setuptools import setup
from mypyc.build import mypycify

modules = {modules!r}
setup(
    name="kvref-compiled",
    ext_modules=mypycify(
        ["--config-file=mypy.ini", *modules],
        opt_level="3",
        debug_level="0",
        separate=[(modules, "{package}.native")],
    ),
)
"""

MYPY = """[mypy]
strict = True
follow_imports = silent
"""


def compile_into(target: Path) -> None:
    """Build the extension modules of `kvref.compiled` in the folder `target`."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        for package in ("kvref", "spec"):
            shutil.copytree(ROOT / package, room / package, ignore=shutil.ignore_patterns("compiled", "*.so"))
        shutil.copytree(SOURCES, room / "kvref" / "compiled")
        sources = (room / "kvref" / "compiled").glob("[!_]*.py")
        modules = sorted(str(path.relative_to(room)) for path in sources)
        (room / "mypy.ini").write_text(MYPY, encoding="utf-8")
        (room / "setup.py").write_text(SET_UP.format(modules=modules, package=PACKAGE), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
            cwd=room,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"compile: mypyc or the C compiler failed:\n{done.stdout}{done.stderr}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        # The package itself is imported before the library that its modules share.
        shutil.copy2(SOURCES / "__init__.py", target)
        for built in (room / "kvref" / "compiled").glob("*.so"):
            shutil.copy2(built, target)


if __name__ == "__main__":
    compile_into(ROOT / "kvref" / "compiled")
    print("kvref/compiled is built: kvref fuzz --target compiled")
