"""Targets are found by name, a third party's like ours."""

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kvref.errors import UserError
from kvref.targets import registry
from kvref.targets.reference import ReferenceTarget
from kvref.targets.registry import names, open_target

ASKED: list[tuple[str | None, Path | None]] = []


def open_theirs(release: str | None, python: Path | None, tell: Callable[[str], None]) -> ReferenceTarget:
    """A third party's entry point."""
    ASKED.append((release, python))
    tell("opening theirs")
    return ReferenceTarget()


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that brings a target is installed."""
    point = EntryPoint("theirs", f"{__name__}:open_theirs", registry.GROUP)

    def entry_points(*, group: str, name: str = "theirs") -> list[EntryPoint]:
        return [point] if (group, name) == (registry.GROUP, "theirs") else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda _: open_theirs)
    ASKED.clear()


def silent(line: str) -> None:
    raise AssertionError(line)


def test_our_own_targets_are_known() -> None:
    assert names() == ["compiled", "optimized", "reference", "vllm", "zoo"]


def test_the_reference_opens_without_a_word() -> None:
    assert open_target("reference", python=None, tell=silent).name == "reference"


@pytest.mark.parametrize("text", ["", "==", "==0.23.0", "Reference", "nobody", "nobody==1"])
def test_an_unknown_name_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(
        UserError, match=r"no target is called .*: choose one of compiled, optimized, reference, vllm"
    ):
        open_target(text, python=None, tell=silent)


@pytest.mark.parametrize(("text", "python"), [("reference==1", None), ("reference", Path("python3"))])
def test_the_reference_has_no_release_and_no_interpreter_of_its_own(text: str, python: Path | None) -> None:
    with pytest.raises(UserError, match="use --target reference"):
        open_target(text, python=python, tell=silent)


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(("text", "release"), [("theirs", None), ("theirs==1.2", "1.2"), ("theirs==", None)])
def test_a_third_partys_target_is_opened_with_its_release_interpreter_and_listener(
    text: str, release: str | None
) -> None:
    said: list[str] = []
    assert names() == ["theirs"]
    open_target(text, python=Path("py"), tell=said.append)
    assert [(release, Path("py"))] == ASKED
    assert said == ["opening theirs"]
