"""Why a level cannot show a bug, where that is not plain from what the level looks at."""

from dataclasses import replace
from unittest import mock

import pytest

from kvref.fuzz import play as playing
from kvref.fuzz.hits import held
from kvref.fuzz.safe import SafeTarget
from kvref.fuzz.settings import Settings
from kvref.fuzz.themes import THEMES, Theme
from kvref.operations import Observation, Operation
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

STATES = next(theme for theme in THEMES if theme.name == "forgotten states")
TWINS = [
    Theme("twins", replace(STATES.weights, twins=1.0, pools=pools, asynchronous=together))
    for pools, together in (((0.3, 0.5, 0.8), 0.0), ((1.2, 2.0), 0.5))
]


def lacked(target: SafeTarget, session: type["Watched"], theme: Theme) -> int:
    """How often a state that the first of equal groups had was not there in another one, in cases of the theme."""
    session.lacked = session.asked = 0
    with mock.patch.object(playing, "draw_theme", return_value=theme):
        for number in range(60):
            playing.play(Settings(3, None, length=60, witnessed=1 << 60), number, target)
    assert session.asked > 100
    return session.lacked


class Watched(OptimizedSession):
    """Looks at what equal recurrent groups have cached, after every operation."""

    asked = 0
    lacked = 0

    def apply(self, operation: Operation) -> Observation:
        observation = super().apply(operation)
        groups, maps = self.manager.groups, self.manager.pool.maps
        specs = self.manager.config.specs
        for first, group in enumerate(groups):
            for other in range(first + 1, len(groups)):
                if group.is_state and specs[first] == specs[other] and maps[first].oldest:
                    Watched.asked += 1
                    Watched.lacked += not maps[first].oldest.keys() <= maps[other].oldest.keys()
        return observation


@pytest.mark.parametrize("theme", TWINS, ids=["a short pool", "a larger one"])
def test_the_first_of_equal_groups_loses_a_state_before_the_others_unless_it_is_evicted_by_its_id(
    theme: Theme,
) -> None:
    """That is why no lookup at level hits can tell whether `a-second-member-is-not-asked`."""
    target = InProcessTarget("watched", Watched)
    assert lacked(held(target, ReferenceSession), Watched, theme) == 0
    assert lacked(target, Watched, theme) > 0
