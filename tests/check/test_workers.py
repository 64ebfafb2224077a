"""Several processes find what one finds, and end as well."""

import os
import signal
from dataclasses import dataclass

import msgspec
import pytest

from kvref.check.configurations import UNASKED
from kvref.check.run import Result
from kvref.check.tasks import Check
from kvref.check.workers import OnState, outcomes
from kvref.errors import UserError

NAMES = ("full+no-caching", "full+cross+no-caching", "cross/two")


def _checks(*names: str) -> list[Check]:
    return [Check(name, "optimized", UNASKED, None) for name in names]


def _told(workers: int) -> list[Result]:
    found = outcomes(_checks(*NAMES), workers, lambda _: None)
    timeless = [msgspec.structs.replace(one, seconds=0.0) for one in found]
    return sorted(timeless, key=lambda one: NAMES.index(one.name))


def test_several_processes_find_what_one_finds() -> None:
    alone = _told(workers=1)
    assert [one.ending for one in alone] == ["exhausted"] * len(NAMES)
    assert _told(workers=2) == alone


def test_what_is_at_work_is_told() -> None:
    said: list[str] = []
    assert len(list(outcomes(_checks(*NAMES), 2, said.append))) == len(NAMES)
    assert said[-1].startswith(("2 of 3 done", "1 of 3 done", "0 of 3 done"))
    assert "transitions" in said[-1]


def test_an_interrupt_ends_every_process_with_what_it_has_reached() -> None:
    """These would go on for long; the third one never begins."""

    def interrupt(line: str) -> None:
        if " 0 transitions" not in line:
            os.kill(os.getpid(), signal.SIGINT)

    wide = ("full+sliding+eagle/two", "mamba+connector/two", "full+sliding+connector/two")
    tasks = [Check(name, "optimized", UNASKED, None) for name in wide]
    found = list(outcomes(tasks, 2, interrupt))
    assert {one.ending for one in found} == {"interrupt"}
    assert 1 <= len(found) <= 2
    assert any(one.transitions for one in found)


def test_an_interrupt_here_ends_the_rest() -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    found = list(outcomes(_checks(*NAMES), 1, interrupt))
    assert [(one.name, one.ending) for one in found] == [(NAMES[0], "interrupt")]


@dataclass(frozen=True)
class _Dies:
    """A check whose process is killed."""

    def is_done_by(self, earlier: Result) -> bool:
        return not earlier

    def run(self, on_state: OnState) -> Result:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError(on_state)


def test_a_process_that_dies_is_one_line() -> None:
    with pytest.raises(UserError, match="take fewer --workers than 2"):
        list(outcomes([_Dies(), _Dies()], 2, lambda _: None))


def test_what_was_exhausted_earlier_is_not_visited_again() -> None:
    (known,) = outcomes(_checks(NAMES[0]), 1, lambda _: None)
    noted = msgspec.structs.replace(known, depth=1000)
    found = list(outcomes(_checks(*NAMES[:2]), 1, lambda _: None, [noted]))
    assert [one.name for one in found] == [*NAMES[:2]]
    assert found[0] is noted
    assert found[1].depth < noted.depth


@pytest.mark.parametrize("other", [{"ending": "bound"}, {"name": NAMES[1]}, {"bound": None}])
def test_what_was_not_exhausted_or_is_another_scope_is_visited(other: dict[str, object]) -> None:
    (check,) = _checks(NAMES[0])
    known = check.run(lambda *_: None)
    assert check.is_done_by(known)
    assert not check.is_done_by(msgspec.structs.replace(known, **other))
