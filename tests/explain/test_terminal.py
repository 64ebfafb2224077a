"""A story in the terminal."""

from dataclasses import replace

import pytest
from rich.console import Console

from kvref.explain.exact import tell
from kvref.explain.story import Story
from kvref.explain.terminal import picture, tell_story
from kvref.operations import NewRequest, Trace
from kvref.targets.reference import ReferenceSession
from tests.explain.stories import FULL, HOSTILE, TRACE, diverging, healthy, hostile, told_of_the_reference
from tests.fuzz.faults import FaultyTarget, LeaksABlock

WIDTH = 100


def said(story: Story, first: int | None = None, last: int | None = None, most: int | None = None) -> str:
    console = Console(width=WIDTH, force_terminal=False)
    with console.capture() as told:
        tell_story(console, story, first, last, most)
    return told.get()


def test_a_divergence_tells_the_rule_both_sides_and_every_step() -> None:
    told = said(diverging())
    assert told.startswith("faulty differs from the reference at operation 5")
    assert "A freed table is released from its end, to the back." in told
    assert "[4, 5, 6, 7, 8, 3, 2, 1]" in told
    assert "   3  r asks for slots for 9 new tokens." in told
    assert "      Granted: group 0: 1\u20133." in told
    assert "pool   ∅ [1•] [2•] [3] 4\u20138" in told
    assert "1 operation behind it left untold." in told
    ours, theirs = told.split("r gives back all its blocks.")[1].split("faulty", 1)
    assert "queue  4\u20138 3 2• 1•" in ours
    assert "queue  4\u20138 1• 2• 3" in theirs


@pytest.mark.parametrize(
    "story", [diverging(), hostile(), healthy()], ids=["diverging", "hostile", "healthy"]
)
def test_a_hundred_columns_are_enough(story: Story) -> None:
    assert max(map(len, said(story).splitlines())) <= WIDTH


def test_a_healthy_story_tells_its_last_steps_and_how_to_see_the_others() -> None:
    told = said(healthy(), most=5)
    assert told.startswith("optimized agrees with the reference in 350 operations")
    assert "345 steps before; --from 0 tells them, too." in told
    assert "Both sides" not in told
    assert " 345  " in told
    assert " 344  " not in told


def test_a_part_of_a_story_tells_those_steps_alone() -> None:
    told = said(healthy(), 100, 101, most=1)
    numbered = [line[:4].strip() for line in told.splitlines() if line[4:6] == "  "]
    assert [number for number in numbered if number.isdigit()] == ["100", "101"]
    assert "      pool   " in told


def test_the_pool_is_drawn_again_only_where_it_changed() -> None:
    assert said(told_of_the_reference(TRACE)).count("queue  ") == 3  # at first, when taken, when given back


def test_a_lost_block_is_drawn_as_lost_and_its_invariant_named() -> None:
    told = said(tell("t", TRACE, ReferenceSession, FaultyTarget(LeaksABlock)))
    assert "?3" in told
    assert "broken: free-iff-unused" in told


def test_names_are_told_as_they_are_not_as_the_terminals_markup() -> None:
    told = said(hostile())
    assert (
        HOSTILE.replace("\u2028", "") in told.replace("\u2028", "").replace("\n", " ") or "</script>" in told
    )
    marked = Trace(FULL, TRACE.operations[:1], note="[red]not red[/red]")
    assert "[red]not red[/red]" in said(told_of_the_reference(marked))


def test_a_name_cannot_steer_the_terminal() -> None:
    named = Trace(FULL, (NewRequest("\x1b[2Jr\x07\n", (1,)),), note="\x9b2J")
    told = said(told_of_the_reference(named))
    assert r"Request \x1b[2Jr\x07\x0a arrives with 1 token." in told
    assert not {"\x1b", "\x07", "\x9b"} & set(told)


def test_colours_are_for_a_terminal_alone() -> None:
    assert "\x1b" not in said(diverging())
    console = Console(width=WIDTH, force_terminal=True, color_system="standard")
    with console.capture() as told:
        tell_story(console, diverging())
    assert "\x1b" in told.get()


def test_a_picture_that_lies_is_drawn_as_far_as_it_goes() -> None:
    step = diverging().steps[3]
    assert step.seen.view is not None
    lying = replace(step.seen.view, free_queue=[99, 4], keys=step.seen.view.keys[:6])
    console = Console(width=WIDTH)
    with console.capture() as told:
        console.print(picture(lying))
    assert "queue  ?99 4" in told.get()
