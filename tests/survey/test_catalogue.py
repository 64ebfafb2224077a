"""Every known finding's trace shows it on a real release, and is recognised as that one alone."""

import pytest

from kvref.compare import Difference
from kvref.replay_safe import replay_safe
from kvref.survey.catalogue import KNOWN, Known, which
from kvref.targets.vllm.target import VllmTarget
from tests.survey.test_page import KEPT

(SPECIFIED,) = [one for one in KEPT.releases if one.release == "0.23.0"]
THERE = [one for one in KNOWN if SPECIFIED.replayed[one.id] == "fault"]


def test_ids_are_used_once() -> None:
    assert len({one.id for one in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("one", KNOWN, ids=lambda one: one.id)
def test_a_sound_end_is_not_recognised(one: Known) -> None:
    assert not one.recognises(one.trace, Difference("hit length of a", "at least 0", "-1"))


@pytest.mark.vllm
@pytest.mark.parametrize("one", THERE, ids=lambda one: one.id)
def test_its_trace_shows_it_and_nothing_else_in_the_catalogue(one: Known, vllm_target: VllmTarget) -> None:
    wrong = replay_safe(one.trace, vllm_target).wrong
    assert wrong
    assert [known.id for known in KNOWN if known.recognises(one.trace, wrong[0])] == [one.id]
    assert which(KNOWN, one.trace, wrong[0]) is one
