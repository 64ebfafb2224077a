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
from kvref.fuzz.pools import draw_pool, whole_blocks
from kvref.fuzz.prompts import Prompts
from kvref.fuzz.running import draw_share
from kvref.fuzz.serving import Serving
from kvref.fuzz.themes import PLAIN, THEMES, Theme, draw_theme
from kvref.fuzz.upheavals import draw_eviction
from kvref.fuzz.weights import DEFAULT
from kvref.operations import (
    Allocate,
    ChunkedGroup,
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
        ("loads", "Q-4", 200),
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
        ("long hits", "the-gate-subtracts-what-is-skipped", 200),
        ("drafts in flight", "rejected-drafts-find-no-state", 100),
        ("alike", "a-key-leaves-out-where-an-image-begins", 100),
        ("loads", "hits-of-later-groups-are-taken", 400),
        ("forgotten states", "a-second-member-is-not-asked", 200),
        ("forgotten states", "a-state-lengthens-the-hit", 400),
    ],
)
def test_a_theme_kills_the_bugs_that_it_is_there_for(theme: str, bug: str, count: int) -> None:
    with mock.patch.object(cases, "draw_theme", return_value=BY_NAME[theme]):
        hunted = hunt_cases(bug_called(bug), "exact", 1, count)
    assert hunted.kill is not None


# What themes tilt


def configuration(
    *groups: FullGroup | SlidingGroup | ChunkedGroup | MambaGroup, blocks: int = 200
) -> Configuration:
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


@pytest.mark.parametrize("group", [SlidingGroup(4, 7), ChunkedGroup(4, 6), FullGroup(4)])
@pytest.mark.parametrize("batched", [5, 6, 7, 8])
def test_a_budget_of_whole_blocks_is_the_least_that_fills_them_with_what_is_read(
    group: SlidingGroup | ChunkedGroup | FullGroup, batched: int
) -> None:
    read = {SlidingGroup: 6, ChunkedGroup: 6, FullGroup: 0}[type(group)]
    whole = whole_blocks(group, batched)
    assert batched <= whole < batched + 4
    assert (read + whole) % 4 == 0


@pytest.mark.parametrize("group", [SlidingGroup(4, 7), ChunkedGroup(4, 12), FullGroup(4)])
def test_at_the_edges_a_step_ends_where_a_block_is_released_or_right_before(
    group: SlidingGroup | ChunkedGroup | FullGroup,
) -> None:
    period = 12 if isinstance(group, ChunkedGroup) else 4
    first = 6 if isinstance(group, SlidingGroup) else 0
    serving = Serving(Seeded("x"), configuration(group), Habits(), replace(DEFAULT, edges=1.0))
    ends = {5 + draw_share(serving, 5, 40) for _ in range(200)}
    assert {(end - first) % period for end in ends - {45}} == {0, period - 1}
    assert all(5 < end <= 45 for end in ends)
    plain = Serving(Seeded("x"), configuration(group), Habits())
    assert {draw_share(plain, 5, 8) for _ in range(200)} == set(range(1, 9))


def test_a_long_prompt_is_as_long_as_it_can_be() -> None:
    def lengths(share: float) -> list[int]:
        prompts = Prompts(configuration(FullGroup(2)), 2, replace(DEFAULT, long_prompt=share), extras=False)
        choices = Seeded("x")
        return [len(prompts.draw(choices).tokens) for _ in range(100)]

    assert set(lengths(1.0)) == {62}
    assert lengths(0.0).count(62) < 50


def test_a_twin_has_the_spec_of_a_group_beside_it() -> None:
    def twins(share: float) -> int:
        theme = about(twins=share, group_counts=(2,), group_count_weights=(1,))
        found = [case.trace.configuration.groups for case in played(theme, 40)]
        unmarked = [[msgspec.structs.replace(group, eagle=False) for group in groups] for groups in found]
        return sum(len(set(groups)) < len(groups) for groups in unmarked)

    assert twins(1.0) == 40
    assert twins(0.0) < 10
