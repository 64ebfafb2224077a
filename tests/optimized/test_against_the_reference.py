"""Both forms show what the reference shows, operation for operation, and break no invariant.

A counted number of cases with fixed seeds; `kvref fuzz --target optimized --witnessed 1` goes on.
"""

import pytest

from kvref.fuzz import configurations
from kvref.fuzz.campaign import Report, Settings, run
from kvref.operations import Configuration
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession
from tests.fuzz.test_reference_keeps_the_invariants import CROSS, PARALLEL, SINKS
from tests.optimized.forms import FORMS, session_class


def campaign(form: str, settings: Settings) -> Report:
    target = InProcessTarget(form, session_class(form))
    return run(settings, ReferenceSession, target, lambda _: None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_it_shows_what_the_reference_shows(form: str, seed: int) -> None:
    report = campaign(form, Settings(seed, 300, None))
    assert report.findings == []
    assert report.whole_share == 1.0
    assert report.operations > 15_000


@pytest.mark.parametrize("form", FORMS)
def test_it_keeps_all_invariants_after_every_operation(form: str) -> None:
    settings = Settings(3, 60, None, level="invariants")
    report = run(settings, session_class(form), InProcessTarget(form, session_class(form)), lambda _: None)
    assert report.findings == []
    assert report.witnessed > 50


def test_the_reference_can_be_witnessed_on_every_case() -> None:
    assert campaign("optimized", Settings(4, 40, None, witnessed=1)).witnessed > 35


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("made", SINKS | PARALLEL | CROSS)
def test_so_do_kinds_that_are_drawn_rarely(form: str, made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration: Configuration = (SINKS | PARALLEL | CROSS)[made]
    monkeypatch.setattr(configurations, "draw", lambda *_: configuration)
    report = campaign(form, Settings(5, 25, None))
    assert report.findings == []
    assert report.refused_by_both == 0
