"""A theme brings together what chance hardly does; what each is there for is counted in cases, by seed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from unittest import mock

import msgspec
import pytest

from kvref.fuzz import cases
from kvref.fuzz.cases import Case, draw_case
from kvref.fuzz.choices import Seeded
from kvref.fuzz.habits import Habits
from kvref.fuzz.pools import draw_pool
from kvref.fuzz.serving import Serving
from kvref.fuzz.themes import PLAIN, THEMES, Theme, draw_theme
from kvref.fuzz.upheavals import draw_eviction
from kvref.fuzz.weights import DEFAULT
from kvref.operations import (
    Allocate,
    Configuration,
    FullGroup,
    MambaGroup,
    Observation,
    Operation,
    SlidingGroup,
)
from kvref.targets.deviations import Situation, met_by
from kvref.targets.reference import ReferenceSession
from kvref.targets.vllm.deviations import CATALOGUE
from kvref.zoo.cases import hunt_cases
from kvref.zoo.catalogue import bug_called

BY_NAME = {theme.name: theme for theme in THEMES}


def played(theme: Theme, count: int, opener: type[ReferenceSession] = ReferenceSession) -> Iterator[Case]:
    """Cases of one theme, those of seed 1."""
    with mock.patch.object(cases, "draw_theme", return_value=theme):
        for number in range(count):
            yield draw_case(1, "mixed", number, 60, opener, ())


def about(**changes: object) -> Theme:
    return Theme("of this test", replace(DEFAULT, unusual=0.0, **changes))  # type: ignore[arg-type]


def test_themes_differ_and_each_is_drawn() -> None:
    assert len(BY_NAME) == len(THEMES) == len({theme.weights for theme in THEMES})
    drawn = [draw_theme(Seeded(str(number))) for number in range(200)]
    assert set(drawn) == set(THEMES)
    assert drawn == [draw_theme(Seeded(str(number))) for number in range(200)]
    assert PLAIN.weights == DEFAULT


def test_a_case_takes_its_steps_by_the_weights_of_its_theme() -> None:
    def loads(**changes: object) -> int:
        operations = [one for case in played(about(**changes), 30) for one in case.trace.operations]
        return sum(isinstance(one, Allocate) and one.external > 0 for one in operations)

    assert loads(connector=1.0, external=0.0) == 0
    assert loads(connector=1.0, external=1.0) > 2 * loads(connector=1.0, external=0.3) > 0


@pytest.mark.parametrize(
    ("theme", "deviation", "count"),
    [
        ("tight gate", "Q-17", 300),
        ("tight gate", "Q-50", 100),
        ("tight gate", "Q-51", 200),
        ("rejected drafts", "Q-28", 800),
        ("forgotten tails", "Q-37", 1400),
        ("loads", "Q-4", 100),
        ("loads", "Q-54", 400),
        ("finer groups", "Q-5", 300),
    ],
)
def test_a_theme_meets_the_deviations_that_it_is_there_for(theme: str, deviation: str, count: int) -> None:
    """By their recognisers, which are exact: vLLM must deviate where they say so."""
    entries = tuple(entry for entry in CATALOGUE if entry.id == deviation)

    class Recognised(Exception):  # noqa: N818 - not an error
        """The deviation is met."""

    class Watching(ReferenceSession):
        def __init__(self, configuration: Configuration) -> None:
            super().__init__(configuration)
            self.concerned = [entry for entry in entries if entry.concerns(configuration)]
            self.drawn = configuration

        def apply(self, operation: Operation) -> Observation:
            if met_by(tuple(self.concerned), Situation(self.drawn, self, operation)):
                raise Recognised
            return super().apply(operation)

    with pytest.raises(Recognised):
        list(played(BY_NAME[theme], count, Watching))


@pytest.mark.parametrize(
    ("theme", "bug", "count"),
    [
        ("tight gate", "the-gate-forgets-lookahead", 100),
        ("tight gate", "the-gate-forgets-that-a-chunk-cuts", 100),
        ("forgotten states", "a-second-member-is-not-asked", 100),
        ("forgotten states", "a-state-lengthens-the-hit", 400),
    ],
)
def test_a_theme_kills_the_bugs_that_it_is_there_for(theme: str, bug: str, count: int) -> None:
    with mock.patch.object(cases, "draw_theme", return_value=BY_NAME[theme]):
        hunted = hunt_cases(bug_called(bug), "exact", 1, count)
    assert hunted.kill is not None


# What themes tilt


def configuration(*groups: FullGroup | SlidingGroup | MambaGroup, blocks: int = 200) -> Configuration:
    return Configuration(groups, blocks, 64, 2, 2)


def test_blocks_that_a_request_was_given_lately_are_evicted_half_of_the_time() -> None:
    serving = Serving(Seeded("x"), configuration(FullGroup(2)), Habits())
    serving.told = ((0, 7, 8), (9,))
    evictions = [set(draw_eviction(serving).blocks) for _ in range(200)]
    told = sum(blocks <= {7, 8, 9} for blocks in evictions)
    assert 60 < told < 140
    assert all(0 not in blocks for blocks in evictions)


def test_without_a_table_any_block_is_evicted_but_never_the_null_block() -> None:
    serving = Serving(Seeded("x"), configuration(FullGroup(2), blocks=3), Habits())
    assert set().union(*(draw_eviction(serving).blocks for _ in range(50))) == {1, 2}


def test_a_capped_pool_grows_with_the_window_and_the_step_and_not_with_the_request() -> None:
    capped = replace(DEFAULT, capped_pool=1.0)

    def pool(window: int, longest: int, batched: int) -> int:
        return draw_pool(Seeded("x"), (SlidingGroup(2, window),), longest, batched, capped)

    assert pool(4, 100, 5) == pool(4, 300, 5)
    sizes = [pool(4, 300, 5), pool(20, 300, 5), pool(20, 300, 50)]
    assert all(small < large for small, large in pairwise(sizes))


def test_a_twin_has_the_spec_of_a_group_beside_it() -> None:
    def twins(share: float) -> int:
        theme = about(twins=share, group_counts=(2,), group_count_weights=(1,))
        found = [case.trace.configuration.groups for case in played(theme, 40)]
        unmarked = [[msgspec.structs.replace(group, eagle=False) for group in groups] for groups in found]
        return sum(len(set(groups)) < len(groups) for groups in unmarked)

    assert twins(1.0) == 40
    assert twins(0.0) < 10
