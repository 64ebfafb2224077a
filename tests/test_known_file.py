"""A user's own catalogue is read, and whatever is wrong with it is told in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.known_file import read_known
from kvref.operations import Configuration, Free, FullGroup, Lookup
from kvref.targets.deviations import Situation
from kvref.targets.reference import ReferenceSession

HEAD = "from kvref.known import Deviation, Situation, Verdict\n"
PLAIN = Configuration((FullGroup(4),), 9, 64, 4, 4)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def entry(name: str = "mine", concerns: str = "lambda c: True", recognises: str = "lambda s: True") -> str:
    return f"Deviation('{name}', 'FREE-1', (), Verdict.COSMETIC, 'title', {concerns}, {recognises})"


UNNAMED = entry().replace("'mine'", "1")


def situation() -> Situation:
    return Situation(PLAIN, ReferenceSession(PLAIN), Free("r"))


def test_entries_of_all_files_come_in_order(write: Write) -> None:
    first = write(f"{HEAD}KNOWN = ({entry('a')}, {entry('b')})", "first.py")
    second = write(f"{HEAD}KNOWN = ({entry('c')},)", "second.py")
    assert [one.id for one in read_known([first, second])] == ["a", "b", "c"]
    assert read_known([]) == ()


def test_a_recogniser_is_asked_as_it_stands(write: Write) -> None:
    text = f"{HEAD}from kvref.operations import Free\n"
    (one,) = read_known(
        [
            write(
                text
                + f"KNOWN = ({entry(concerns='lambda c: c.num_blocks == 9', recognises='lambda s: isinstance(s.operation, Free)')},)"
            )
        ]
    )
    assert one.concerns(PLAIN)
    assert one.recognises(situation())
    assert not one.recognises(Situation(PLAIN, ReferenceSession(PLAIN), Lookup("r")))


def test_a_file_is_a_module_like_any_other(write: Write) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        f"{HEAD}@dataclass\nclass Limit:\n    blocks: int\n"
        f"KNOWN = ({entry(concerns='lambda c: c.num_blocks > Limit(8).blocks')},)"
    )
    (one,) = read_known([write(text)])
    assert one.concerns(PLAIN)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("KNOWN = (\n  1,\n  ?\n)", r"mine\.py line 3 is not Python: invalid syntax"),
        ("\0", "mine.py is not Python: "),
        ("x = 1", "mine.py defines no KNOWN: define KNOWN as a tuple of Deviation"),
        ("KNOWN = 3", "mine.py has a KNOWN of type int"),
        ("KNOWN = ('Q-1',)", "mine.py: entry 0 of KNOWN is of type str, not a Deviation"),
        ("\nKNOWN = (Deviation,)", r"mine.py failed: NameError: name 'Deviation' is not defined \(line 2\)"),
        (
            f"{HEAD}KNOWN = ({UNNAMED},)",
            "mine.py: id of entry 0 is of type int, not str",
        ),
        (
            f"{HEAD}KNOWN = ({entry().replace('Verdict.COSMETIC', '0')},)",
            "mine.py: verdict of entry 0 is of type int, not Verdict",
        ),
        (f"{HEAD}KNOWN = ({entry(recognises='None')},)", "mine.py: recognises of mine is not a function"),
        (f"{HEAD}KNOWN = ({entry()}, {entry()})", "two entries of .*mine.py are called mine: rename one"),
    ],
)
def test_a_file_that_is_no_catalogue(write: Write, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read_known([write(text)])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py cannot be read \(No such file or directory\)"):
        read_known([tmp_path / "none.py"])


def test_an_error_in_a_recogniser_names_the_entry_and_the_line(write: Write) -> None:
    text = (
        f"{HEAD}def fails(situation):\n    return situation.missing\n\nKNOWN = ({entry(recognises='fails')},)"
    )
    (one,) = read_known([write(text)])
    told = r"mine\.py: mine: recognises failed: AttributeError: .*'missing'.* \(line 3\)$"
    with pytest.raises(UserError, match=told):
        one.recognises(situation())


def test_a_recogniser_says_yes_or_no(write: Write) -> None:
    (one,) = read_known([write(f"{HEAD}KNOWN = ({entry(concerns='lambda c: c.groups')},)")])
    with pytest.raises(UserError, match="mine: concerns returned a tuple: return True or False"):
        one.concerns(PLAIN)
