"""The page's data: what an operation changed, and nothing that could be taken for markup."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from invariants.view import View
from kvref.errors import UserError
from kvref.explain.exact import tell
from kvref.explain.page import page, page_data, write_page
from kvref.explain.pool import Contents
from kvref.explain.rules import texts
from kvref.explain.story import Seen, Step, Story
from kvref.explain.terminal import tell_story
from kvref.operations import Configuration, FullGroup, NewStep, Observation, SlidingGroup
from kvref.targets.reference import ReferenceSession
from tests.explain.stories import HOSTILE, diverging, drawn, healthy, hostile, optimized


def embedded(text: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_data_cannot_end_its_element() -> None:
    text = page(hostile())
    assert "<" not in embedded(text)
    assert json.loads(embedded(text))["name"] == json.loads(embedded(text))["note"] == HOSTILE
    assert text.count("<script") == text.count("</script") == 2
    assert HOSTILE not in text


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text = page(diverging())
    assert not re.search(r"(src|href)=(?!\"data:,\")", text)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


def test_the_page_is_the_same_every_time() -> None:
    assert page(diverging()) == page(diverging())


def test_the_divergence_has_both_sides_and_the_rules_with_their_texts() -> None:
    data = page_data(diverging())
    assert data.wrong_at == 5
    assert [step.expected is not None for step in data.steps] == [False] * 5 + [True]
    assert all(text == texts()[rule] for rule, text, _ in data.rules)
    assert data.differences[0][0] == "free queue"


def test_a_part_without_the_divergence_has_none() -> None:
    data = page_data(diverging(), 1, 3)
    assert data.wrong_at is None
    assert [step.line for step in data.steps] == [1, 2, 3]


def test_blocks_that_are_never_used_are_left_out_of_the_drawing() -> None:
    data = page_data(diverging())
    assert (data.num_blocks, data.drawn) == (9, 4)


def test_a_page_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html", diverging())


def test_a_step_costs_what_it_changed() -> None:
    short, long = (len(page(story)) for story in (tell_drawn(100), tell_drawn(600)))
    a_step = (long - short) / 500
    # 20 MB hold 5,000 steps if one takes up to 4,000 characters: here the pool has 200 blocks.
    assert a_step < 1_000
    assert len(page(healthy())) < 350 * 1_000


def tell_drawn(length: int) -> Story:
    configuration = Configuration((FullGroup(16), SlidingGroup(16, 64)), 200, 2048, 16, 16)
    return tell("t", drawn(length, configuration), ReferenceSession, optimized())


BLOCKS = st.lists(st.integers(0, 12), max_size=12)
LYING = st.builds(
    View,
    ref_counts=st.lists(st.integers(-1, 3), max_size=12),
    keys=st.lists(st.sampled_from([None, b"key0key0", b"key1key1"]), max_size=12),
    free_queue=BLOCKS,
    prefix_map=st.just([]),
    tables=st.dictionaries(st.sampled_from("rs"), st.lists(BLOCKS, max_size=3)),
    handled=st.dictionaries(st.sampled_from("rst"), BLOCKS),
    reserved=BLOCKS,
    step_keys=st.just([]),
    usage=st.just(0.5),
    stats=st.none(),
)


@given(st.lists(LYING, min_size=1, max_size=4))
def test_whatever_a_target_says_of_its_state_can_be_told(views: list[View]) -> None:
    contents = Contents(diverging().trace.configuration)
    steps = []
    for line, view in enumerate(views):
        contents.learn(view)
        steps.append(Step(line, NewStep(), Seen(Observation(), view)))
    story = replace(diverging(), steps=tuple(steps), wrong=None, contents=contents)
    assert json.loads(embedded(page(story)))["steps"]
    console = Console(width=100)
    with console.capture() as told:
        tell_story(console, story)
    assert "A scheduling step begins." in told.get()
