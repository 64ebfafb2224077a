import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from kvref.fuzz.choices import Choices
from kvref.testing.choices import Drawn


def of(ask: Callable[[Choices], object]) -> SearchStrategy[object]:
    return st.composite(lambda draw: ask(Drawn(draw)))()


SIMPLEST: dict[str, tuple[Callable[[Choices], object], object]] = {
    "a chance fails": (lambda choices: choices.chance(0.6), False),
    "the first option": (lambda choices: choices.choice("abc"), "a"),
    "the first option with a weight": (lambda choices: choices.weighted("abc", (0, 1, 3)), "b"),
    "the first options": (lambda choices: choices.sample("abcd", 2), ["a", "b"]),
    "the lowest number": (lambda choices: choices.integer(3, 9), 3),
    "numbers that count up": (lambda choices: choices.integers(4, 2, 4), (2, 3, 4, 2)),
    "an empty byte": (lambda choices: choices.byte(), b"\x00"),
}


@pytest.mark.parametrize("name", SIMPLEST)
def test_what_is_simplest_is_what_is_left_when_anything_will_do(name: str) -> None:
    ask, simplest = SIMPLEST[name]
    assert find(of(ask), lambda _: True) == simplest


@pytest.mark.parametrize("wanted", ["a", "c", True, 9])
def test_everything_can_be_had(wanted: object) -> None:
    def ask(choices: Choices) -> object:
        options = [choices.weighted("ab", (3, 1)), choices.sample("abc", 2)[1]]
        return [*options, choices.chance(0.1), choices.integer(2, 9)]

    assert wanted in find(of(ask), lambda drawn: isinstance(drawn, list) and wanted in drawn)  # type: ignore[operator]


@given(of(lambda choices: (choices.chance(0.0), choices.chance(1.0))))
def test_what_is_certain_takes_no_draw(drawn: object) -> None:
    assert drawn == (False, True)


def test_a_chance_comes_about_as_often_as_it_is_likely() -> None:
    drawn: list[object] = []

    @settings(max_examples=300, database=None)
    @given(of(lambda choices: [choices.chance(0.2) for _ in range(10)]))
    def collect(several: object) -> None:
        assert isinstance(several, list)
        drawn.extend(several)

    collect()
    assert 0.1 < sum(map(bool, drawn)) / len(drawn) < 0.3


PROGRAM = """
from hypothesis import HealthCheck, given, seed, settings
from kvref.testing.choices import drawn
{more}
told = []
@seed(1)
@settings(max_examples=50, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn())
def tell(choices):
    told.append([choices.integer(0, 999), choices.chance(0.3), choices.weighted(range(500), [1] * 500)])
tell()
print(told)
"""


def test_a_seed_draws_the_same_whatever_other_sources_are_loaded(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_a_user.py").write_text(f"NUMBERS = {list(range(100, 1000))}")

    def told(more: str) -> str:
        path = os.pathsep.join([str(tmp_path), *sys.path])
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", PROGRAM.format(more=more)],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert told("import numbers_of_a_user") == told("") != ""
