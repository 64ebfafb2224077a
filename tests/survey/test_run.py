"""A survey of one release: sound managers show nothing, faulty ones are shrunk and recognised."""

from dataclasses import replace

import pytest

from kvref.survey.catalogue import Harm, Known
from kvref.survey.results import Surveyed
from kvref.survey.run import survey_release
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from tests.dataplane.faults import FAULTS

WINDOW = "a window forgets a block too early"


def survey(target: InProcessTarget, *known: Known) -> Surveyed:
    """As a release is surveyed: its state is not looked at."""
    target.capabilities = replace(target.capabilities, is_sound=False)
    return survey_release(target, "1.0.0", 1, 4000, known, lambda _: None)


def test_a_sound_manager_shows_nothing() -> None:
    found = survey(InProcessTarget("sound", OptimizedSession))
    assert found.operations >= 4000
    assert found.findings == {}
    assert found.unknown == []
    assert found.by_feature["several groups"] > 1000


def test_a_new_finding_is_kept_with_a_short_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    found = survey(InProcessTarget("faulty", FAULTS[WINDOW](monkeypatch)))
    assert found.unknown
    assert min(len(one.trace.operations) for one in found.unknown) <= 15


def test_a_known_finding_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    target = InProcessTarget("faulty", FAULTS[WINDOW](monkeypatch))
    trace = survey(target).unknown[0].trace

    class Window(Known):
        trace = property(lambda _: trace)

    known = Window("W-1", "a window", Harm.WRONG_READ, "yes", "", lambda _, wrong: "sliding" in wrong.what)
    found = survey(target, known)
    assert found.findings["W-1"] > 5
    assert any("sliding" in feature for feature in found.met["W-1"])
    assert found.replayed == {"W-1": "fault"}
    assert found.unknown == []
