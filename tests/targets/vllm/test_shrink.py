"""What the shrinker makes of long cases is nearly as short as the catalogue's traces, made by hand."""

from pathlib import Path

import pytest

import kvref.targets.vllm
from kvref.fuzz.cases import draw_case
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shrink import shrink
from kvref.judge import judge
from kvref.replay import read_trace, replay
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.target import VllmTarget

pytestmark = pytest.mark.vllm

TRACES = Path(kvref.targets.vllm.__file__).parent / "traces"
CASES = 700
LONG = 15
"""Cases are of interest that go on for so many operations before they meet a deviation."""

FURTHER = 5
"""So many operations more than by hand at the most."""


def test_cases_that_meet_a_deviation_become_nearly_as_short_as_those_made_by_hand(
    vllm_target: VllmTarget,
) -> None:
    lengths: dict[str, tuple[int, int]] = {}
    for number in range(CASES):
        case = draw_case(1, "mixed", number, 60, ReferenceSession, vllm_target.catalogue)
        (actual,) = vllm_target.run([case.trace])
        met = judge(ReferenceSession, vllm_target, case.trace, case.expected, actual)
        if met.known is None or met.known.id in lengths or met.agreed < LONG:
            continue
        small = shrink(case.trace, Exact(ReferenceSession, vllm_target, case.trace))
        assert small is not None
        assert small.known == met.known.id
        again = replay(ReferenceSession, vllm_target, small.trace)
        assert again.known == met.known
        assert again.agreed == len(small.trace.operations) - 1
        by_hand = read_trace(TRACES / f"{met.known.id}.json")
        lengths[met.known.id] = (len(small.trace.operations), len(by_hand.operations))
    assert len(lengths) >= 4
    assert all(short <= by_hand + FURTHER for short, by_hand in lengths.values())
    as_short = [short <= by_hand for short, by_hand in lengths.values()]
    assert sum(as_short) >= len(as_short) / 2
