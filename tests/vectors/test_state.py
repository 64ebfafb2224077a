"""A state as plain JSON tells all of a view, and a change leads from one state to the next."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kvref.fuzz.cases import draw_case
from kvref.targets.base import picture_case
from kvref.targets.reference import ReferenceSession
from kvref.vectors.state import change, changed, state_of, view_of

VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
STATES = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def test_a_view_is_told_in_full() -> None:
    for number in range(20):
        trace = draw_case(2, "mixed", number, 30, ReferenceSession, ()).trace
        if not trace.operations:
            continue
        for picture in picture_case(ReferenceSession, trace):
            state = json.loads(json.dumps(state_of(picture.view)))
            again = view_of(state, trace.configuration.num_blocks)
            assert state_of(again) == state_of(picture.view)
            assert again.keys == picture.view.keys
            assert again.ref_counts == picture.view.ref_counts
            assert again.stats == picture.view.stats
            assert again.prefix_map == picture.view.prefix_map


@given(STATES, STATES)
def test_a_change_leads_to_the_next_state(before: dict[str, object], after: dict[str, object]) -> None:
    assert changed(before, change(before, after)) == after


def test_nothing_changed_is_nothing_told() -> None:
    state = {"a": {"b": 1}, "c": [1]}
    assert change(state, {"a": {"b": 1}, "c": [1]}) == {}
    assert changed(state, {}) == state


def test_what_is_gone_is_null() -> None:
    assert change({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1}}) == {"d": None, "a": {"c": None}}
    assert changed({"a": {"b": 1, "c": 2}, "d": 1}, {"d": None, "a": {"c": None}}) == {"a": {"b": 1}}


def test_the_examples_of_the_standard() -> None:
    assert changed({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert changed({"a": "b"}, {"b": "c"}) == {"a": "b", "b": "c"}
    assert changed({"a": "b"}, {"a": None}) == {}
    assert changed({"a": ["b"]}, {"a": "c"}) == {"a": "c"}
    assert changed({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert changed({"e": None}, {"a": 1}) == {"e": None, "a": 1}
    assert changed({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
