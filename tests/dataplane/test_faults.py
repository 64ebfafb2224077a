"""Every fault that changes data is found by a campaign at level safe, without any comparison."""

from collections.abc import Iterator

import pytest

from kvref.compare import Difference
from kvref.fuzz.play import play
from kvref.fuzz.settings import Settings
from kvref.targets.inprocess import InProcessTarget
from tests.dataplane.faults import FAULTS

MOST_CASES = 600
SETTINGS = Settings(1, MOST_CASES, witnessed=MOST_CASES)


def wrong_reads(target: InProcessTarget) -> Iterator[Difference]:
    for number in range(1, MOST_CASES):
        try:
            played = play(SETTINGS, number, target)
        except (IndexError, ValueError):
            continue  # the manager itself stumbles over the fault: that is not what is shown here
        yield from (wrong for wrong in played.wrong if " reads " in wrong.what)


def test_there_are_at_least_fifteen() -> None:
    assert len(FAULTS) >= 15


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_by_what_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = InProcessTarget("faulty", FAULTS[name](monkeypatch))
    assert next(wrong_reads(target), None) is not None
