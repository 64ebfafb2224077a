from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.targets.imported import import_target
from kvref.targets.registry import open_target

MODULE = """
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession

def open_manager(configuration):
    return ReferenceSession(configuration)

def make_target():
    return InProcessTarget("made", open_manager)

target = make_target()

class Inner:
    opened = ReferenceSession

def of_two(one, other):
    return None

number = 7
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_manager_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("open_manager", "a_manager_of_mine:open_manager"),
        ("Inner.opened", "a_manager_of_mine:Inner.opened"),
        ("make_target", "made"),
        ("target", "made"),
    ],
)
def test_a_target_is_what_is_imported(attribute: str, name: str) -> None:
    assert open_target(f"a_manager_of_mine:{attribute}", python=None, tell=print).name == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no_such_module:target", "No module named 'no_such_module'"),
        ("a_manager_of_mine:absent", "has no attribute 'absent'"),
        ("a_manager_of_mine:", "has no attribute ''"),
        (":target", "Empty module name"),
        ("a_manager_of_mine:number", "neither a target nor"),
        ("a_manager_of_mine:of_two", "neither a target nor"),
    ],
)
def test_what_is_no_target_is_refused_in_one_line(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as refused:
        import_target(text)
    assert "\n" not in str(refused.value)
