"""The command `kvref`, run in the process of the tests: the fixture `kvref` of every test."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kvref import cli


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: object
    out: str
    err: str

    @property
    def refused(self) -> str:
        """The one line that bad input is told in."""
        assert self.code == 2
        (line,) = self.err.splitlines()
        assert line.startswith("kvref: ")
        return line


Kvref = Callable[..., Ended]


@pytest.fixture
def kvref(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Kvref:
    """Runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["kvref", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run
