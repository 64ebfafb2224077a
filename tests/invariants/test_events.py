"""The invariants of events find the corruption that they are there for, and say where it is."""

from copy import deepcopy
from dataclasses import replace

from invariants import step as told
from tests.invariants.scene import FULL, PROMPT, admit, ids, scene, text


def test_events_replay_the_map_finds_a_lost_event() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    found = deepcopy(s.checker).step(s.before, replace(s.step, events=()), s.after)
    assert ids(found) == {"events-replay-the-map"}
    assert "the events tell of 0 blocks" in text(found)


def test_events_replay_the_map_finds_an_event_of_another_group() -> None:
    s = scene(FULL, *admit("a", PROMPT, 14))
    (event,) = s.step.events
    assert isinstance(event, told.Stored)
    found = deepcopy(s.checker).step(s.before, replace(s.step, events=(replace(event, group=1),)), s.after)
    assert ids(found) == {"events-replay-the-map"}
    assert "in group 1, but 0 can be found" in text(found)
