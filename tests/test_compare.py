"""Two pictures held against each other: every difference is named, and nothing else is."""

from dataclasses import fields, replace

import msgspec
import pytest

from invariants.view import View
from kvref.compare import Difference, differences, first_mismatch
from kvref.events import AllBlocksCleared, BlockRemoved
from kvref.operations import Observation
from kvref.targets.base import CaseResult, digest
from kvref.targets.picture import Picture
from spec.units import GroupId
from tests.targets.test_base import EVENTS, OBSERVATIONS, SEEN, STORED, VIEW, VIEWS

PICTURE = Picture(SEEN, VIEW)


def told(view: View = VIEW, seen: Observation = SEEN) -> list[tuple[str, str, str]]:
    """What is said of a picture that should have been PICTURE."""
    return [(d.what, d.expected, d.actual) for d in differences(PICTURE, Picture(seen, view))]


def case(*digests: bytes) -> CaseResult:
    return CaseResult(digests)


def test_equal_pictures_do_not_differ() -> None:
    assert told() == []


@pytest.mark.parametrize("name", [field.name for field in fields(View)])
def test_every_part_of_the_state_is_compared_wherever_digests_differ(name: str) -> None:
    for value in VIEWS[name]:
        other = replace(VIEW, **{name: value})
        assert digest(SEEN, other) != digest(SEEN, VIEW)
        assert told(other)
        assert all(expected != actual for _, expected, actual in told(other))


@pytest.mark.parametrize("name", Observation.__struct_fields__)
def test_every_part_of_what_was_returned_is_compared_wherever_digests_differ(name: str) -> None:
    for value in OBSERVATIONS[name]:
        other = told(seen=msgspec.structs.replace(SEEN, **{name: value}))
        assert other
        assert all(what.startswith(name.removesuffix("s")) for what, _, _ in other)
        assert all(expected != actual for _, expected, actual in other)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_told_field_by_field(name: str) -> None:
    other = msgspec.structs.replace(STORED, **{name: EVENTS[name]})
    ((what, expected, actual),) = told(seen=msgspec.structs.replace(SEEN, events=(other,)))
    assert what == f"event 0 {name}"
    assert expected != actual


def test_an_event_too_many_and_one_of_another_kind_are_told_whole() -> None:
    removed = BlockRemoved((1,), "GPU", GroupId(0))
    ((what, expected, actual),) = told(seen=msgspec.structs.replace(SEEN, events=(STORED, removed)))
    assert (what, expected) == ("event 1", "-")
    assert "BlockRemoved" in actual
    ((what, expected, actual),) = told(seen=msgspec.structs.replace(SEEN, events=(AllBlocksCleared(),)))
    assert what == "event 0"
    assert "BlockStored" in expected
    assert "AllBlocksCleared" in actual


def test_blocks_are_told_one_by_one() -> None:
    assert told(replace(VIEW, ref_counts=[0, 2, 1])) == [
        ("users of block 1", "1", "2"),
        ("users of block 2", "0", "1"),
    ]
    assert told(replace(VIEW, keys=[None, b"kez0kez1", None])) == [
        ("key of block 1", b"key".hex() + "…" + b"key".hex(), b"kez0".hex() + "…" + b"kez1".hex())
    ]
    assert told(replace(VIEW, ref_counts=[0, 1])) == [("users of block 2", "0", "-")]


def test_tables_are_told_by_request() -> None:
    assert told(replace(VIEW, tables={"r": [[2]], "t": [[]]})) == [
        ("tables of r", "[[1]]", "[[2]]"),
        ("tables of s", "[[]]", "-"),
        ("tables of t", "-", "[[]]"),
    ]


def test_the_free_queue_is_told_in_order() -> None:
    assert told(replace(VIEW, free_queue=[2, 1])) == [("free queue", "[2]", "[2, 1]")]


def test_a_refusal_is_told_apart_from_an_allocation_of_nothing() -> None:
    refused, nothing = Observation(blocks=None), Observation(blocks=())
    (found,) = differences(Picture(refused, VIEW), Picture(nothing, VIEW))
    assert found == Difference("blocks", "-", "[]")


def test_after_an_error_only_the_error_is_compared() -> None:
    failed = Picture(Observation(error="ForeignHitError"), VIEW)
    other = Picture(Observation(error="ForeignHitError"), replace(VIEW, free_queue=[]))
    assert differences(failed, other) == []
    unhashed = Picture(Observation(error="UnhashedTokensError"), VIEW)
    assert differences(failed, unhashed) == [Difference("error", "ForeignHitError", "UnhashedTokensError")]


def test_lists_and_tuples_are_one() -> None:
    assert told(replace(VIEW, tables={"r": ((1,),), "s": [()]})) == []  # type: ignore[dict-item, list-item]


def test_the_first_mismatch_is_the_first_digest_that_differs() -> None:
    assert first_mismatch(case(b"a", b"b"), case(b"a", b"b")) is None
    assert first_mismatch(case(b"a", b"b", b"c"), case(b"a", b"x", b"y")) == 1
    assert first_mismatch(case(b"a"), case(b"x")) == 0


def test_a_case_that_ends_early_mismatches_where_it_ends() -> None:
    assert first_mismatch(case(b"a", b"b"), case(b"a")) == 1
    assert first_mismatch(case(b"a"), case(b"a", b"b")) == 1
    assert first_mismatch(case(), case()) is None
