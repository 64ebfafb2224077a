"""Every release is driven as its own scheduler drives it: what it raises is explained here.

pytest -m releases
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from kvref.errors import ConfigurationError, UnpicturableError
from kvref.fuzz import generate
from kvref.fuzz.caller import Caller
from kvref.fuzz.cases import random_of
from kvref.fuzz.configurations import draw
from kvref.fuzz.habits import draw_habits
from kvref.operations import Configuration, FullGroup, NewRequest, Observation, Operation
from kvref.targets.registry import open_target
from kvref.targets.vllm.target import VllmTarget

pytestmark = pytest.mark.releases

# fmt: off
RELEASES = [
    "0.11.2", "0.12.0", "0.13.0", "0.14.1", "0.15.1", "0.16.0", "0.17.1", "0.18.1", "0.19.1", "0.20.2", "0.21.0", "0.22.1",
    "0.23.0", "0.24.0", "0.25.1", "0.26.0", "0.27.1", "0.28.0", "0.29.0", "0.30.0", "0.31.0", "0.32.0", "0.33.0",
]
# fmt: on
"""The newest patch of every minor release."""

CASES = 300
LENGTH = 60

Version = tuple[int, int]
EXPLAINED: dict[str, Callable[[Version], bool]] = {
    # A lone group that context parallelism does not serve is only refused when it is looked up.
    "AssertionError: DCP not support": lambda _: True,
    # EAGLE and windows of a smaller block than the others: refused when it is looked up.
    "AssertionError: aligned_length is not compatible with eagle now": lambda v: (0, 12) <= v < (0, 19),
    # Null blocks and blocks evicted by hand stand in the way of caching the ones behind them.
    "UnhashedTokensError": lambda v: v < (0, 14),
}


class Raised(Exception):  # noqa: N818 - what it is, is told inside
    """The release raised something; the case is over."""


@dataclass
class Played:
    """What a release made of the cases."""

    cases: int = 0
    operations: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kinds: set[str] = field(default_factory=set)


@pytest.fixture(params=RELEASES, scope="module")
def target(request: pytest.FixtureRequest) -> Iterator[VllmTarget]:
    opened = open_target(f"vllm=={request.param}", python=None, tell=print)
    assert isinstance(opened, VllmTarget)
    assert opened.release == request.param
    yield opened
    opened.close()


def play(target: VllmTarget, number: int, played: Played) -> None:
    choices = random_of(1, "mixed", number)
    configuration = draw(choices, "mixed")
    try:
        session = target.opener(configuration)
    except ConfigurationError as refusal:
        played.refused[str(refusal)] += 1
        return

    def apply(operation: Operation) -> Observation:
        played.operations += 1
        observation = session.apply(operation)
        if observation.error is not None:
            raise Raised(observation.error)
        return observation

    def avoids(operation: Operation) -> bool:
        return target.capabilities.lacks(operation) is not None

    played.cases += 1
    played.kinds |= {type(group).__name__ for group in configuration.groups}
    try:
        habits = draw_habits(choices, configuration)
        generate.play(Caller(choices, configuration, habits, apply, avoids, LENGTH))
    except Raised as error:
        played.errors[str(error)] += 1


def test_what_a_release_raises_is_explained(target: VllmTarget) -> None:
    played = Played()
    for number in range(CASES):
        play(target, number, played)
    major, minor, *_ = (int(part) for part in target.release.split("."))
    known = [text for text, concerns in EXPLAINED.items() if concerns((major, minor))]
    unexplained = [error for error in played.errors if not any(error.startswith(text) for text in known)]
    assert not unexplained, played
    assert played.cases > CASES // 5
    assert {"FullGroup", "MLAGroup", "SlidingGroup", "ChunkedGroup", "MambaGroup"} <= played.kinds


def test_a_state_is_pictured_or_refused_with_the_reason(target: VllmTarget) -> None:
    session = target.opener(Configuration((FullGroup(4),), 9, 64, 4, 4))
    session.apply(NewRequest("r", (1, 2, 3)))
    try:
        assert len(session.view().ref_counts) == 9
    except UnpicturableError as reason:
        assert f"vllm {target.release} " in str(reason)  # noqa: PT017 - either will do
