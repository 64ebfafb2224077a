"""What users import is typed, and their own type checker can see it."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

RIGHT = """
from kvref.operations import Allocate, Configuration, FullGroup
from kvref.targets.base import Target
from kvref.targets.picture import Opener, Session
from kvref.targets.reference import ReferenceSession, ReferenceTarget

opener: Opener = ReferenceSession
session: Session = opener(Configuration((FullGroup(4),), 9, 64, 4, 4))
blocks: tuple[tuple[int, ...], ...] | None = session.apply(Allocate("r", 0, 1)).blocks
target: Target = ReferenceTarget()
"""
WRONG = """
from kvref.operations import Lookup
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession
from spec.units import BlockId, GroupId

Lookup(7)
block: BlockId = GroupId(1)
target: Target = ReferenceSession
"""


@pytest.mark.parametrize("package", ["kvref", "spec", "invariants"])
def test_every_package_says_that_it_is_typed(package: str) -> None:
    module = importlib.import_module(package)
    assert (Path(str(module.__file__)).parent / "py.typed").is_file()


def test_a_users_mistakes_are_seen_by_mypy_and_nothing_else(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT)
    wrong.write_text(WRONG)
    root = Path(__file__).parent.parent
    done = subprocess.run(  # noqa: S603
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"),
            *("--config-file", str(root / "pyproject.toml"), str(right), str(wrong)),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(":")[0].rsplit("/")[-1] for line in told] == ["wrong.py"] * 3
    assert [int(line.split(":")[1]) for line in told] == [7, 8, 9]
