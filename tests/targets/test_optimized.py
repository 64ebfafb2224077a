"""The optimized manager is a target like the reference, and so is its compiled form, if it is there."""

from importlib import import_module
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.targets import optimized
from kvref.targets.registry import open_target


def silent(line: str) -> None:
    raise AssertionError(line)


def test_it_opens_without_a_word() -> None:
    assert open_target("optimized", python=None, tell=silent).name == "optimized"


@pytest.mark.parametrize(("text", "python"), [("optimized==1", None), ("optimized", Path("python3"))])
def test_it_has_no_release_and_no_interpreter_of_its_own(text: str, python: Path | None) -> None:
    with pytest.raises(UserError, match="use --target optimized"):
        open_target(text, python=python, tell=silent)


def test_a_compiled_form_that_is_not_there_takes_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        return import_module(f"{name}.nowhere")

    monkeypatch.setattr(optimized, "import_module", absent)
    with pytest.raises(UserError, match="has not been built for this interpreter: run make compile"):
        open_target("compiled", python=None, tell=silent)
