"""What a picture shows of the pool."""

from dataclasses import replace

from invariants.view import View
from kvref.explain.pool import MEANING, Contents, State, changes, states
from kvref.operations import Configuration, FullGroup, SlidingGroup

FULL = Configuration((FullGroup(4),), 8, 64, 4, 4)
KEYS = [None, None, b"content-2", b"content-3", None, None, None, None]
VIEW = View(
    ref_counts=[0, 0, 0, 1, 2, 0, 0, 1],
    keys=list(KEYS),
    free_queue=[2, 1],
    prefix_map=[],
    tables={"r": [[3, 4]], "s": [[4, 7]]},
    handled={"r": [1], "s": [0]},
    reserved=[5],
    step_keys=[],
    usage=0.5,
    stats=None,
)


def test_every_state_of_a_block_is_told_apart() -> None:
    found = states(VIEW)
    assert found == [
        State.NULL,
        State.FREE,
        State.CACHED,
        State.USED,
        State.SHARED,
        State.RESERVED,
        State.LOST,
        State.USED,
    ]
    assert set(found) == set(State) == set(MEANING)


def test_content_is_named_by_the_tokens_that_were_first_seen_under_its_key() -> None:
    contents = Contents(FULL)
    contents.learn(VIEW)
    assert contents.name(b"content-3") == "tokens 0\u20133 of r"
    assert contents.name(b"content-2") == "key 636f6e74…"
    contents.learn(replace(VIEW, tables={"s": [[9, 3]]}))
    assert contents.name(b"content-3") == "tokens 0\u20133 of r"


def test_among_several_groups_content_names_its_own() -> None:
    contents = Contents(Configuration((FullGroup(4), SlidingGroup(1, 8)), 8, 64, 4, 1))
    contents.learn(replace(VIEW, tables={"r": [[], [0, 0, 3]]}))
    assert contents.name(b"content-3") == "token 2 of r, group 1"


def test_under_context_parallelism_a_block_holds_more_tokens() -> None:
    contents = Contents(Configuration((FullGroup(4),), 8, 64, 8, 8, dcp_world_size=2))
    contents.learn(replace(VIEW, tables={"r": [[7, 3]]}))
    assert contents.name(b"content-3") == "tokens 8\u201315 of r"


def test_keys_in_a_text_are_named() -> None:
    contents = Contents(FULL)
    contents.learn(VIEW)
    short = f"{b'cont'.hex()}…{b'nt-3'.hex()}"
    assert contents.named(f"[{short}] {b'content-3'.hex()} x") == (
        "[(tokens 0\u20133 of r)] (tokens 0\u20133 of r) x"
    )


def test_nothing_changed_is_told_by_nothing() -> None:
    assert changes(VIEW, VIEW) == []


def test_what_changed_is_told_by_its_blocks() -> None:
    after = replace(
        VIEW,
        ref_counts=[0, 1, 0, 0, 3, 0, 0, 1],
        keys=[None, b"new", None, b"content-3", None, None, None, None],
        free_queue=[2, 3],
        step_keys=[b"new"],
    )
    assert changes(VIEW, after) == [
        "left the queue: 1",
        "held by one more: 4",
        "back in the queue: 3",
        "content cached: 1",
        "content forgotten: 2",
        "1 state still to be computed by this step",
    ]
