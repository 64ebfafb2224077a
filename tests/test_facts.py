"""A situation in words: its configuration, its operation, and the state before it."""

from kvref.facts import facts, features
from kvref.operations import (
    Allocate,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Reset,
    SlidingGroup,
)
from kvref.targets.deviations import Situation
from kvref.targets.reference import ReferenceSession

PLAIN = Configuration((FullGroup(4),), 6, 64, 4, 4)


def admitted(name: str, tokens: int, hit: int = 0) -> tuple[Operation, ...]:
    prompt = NewRequest(name, tuple(range(tokens)))
    return (prompt, NewStep(), Lookup(name), Allocate(name, 0, tokens - hit, hit=hit))


def words(operation: Operation, *before: Operation) -> set[str]:
    session = ReferenceSession(PLAIN)
    for one in before:
        assert session.apply(one).error is None
    return set(facts(Situation(PLAIN, session, operation)))


def test_features_are_those_of_the_coverage_table() -> None:
    assert features(PLAIN) == {"full", "one group"}
    hybrid = Configuration((FullGroup(4, eagle=True), SlidingGroup(2, 4)), 9, 64, 4, 2, enable_caching=False)
    assert features(hybrid) == {
        "full",
        "sliding",
        "several groups",
        "several block sizes",
        "EAGLE",
        "caching off",
    }


def test_the_arguments_that_are_given_are_told() -> None:
    prompt = NewRequest("r", (1, 2, 3))
    plain = Allocate("r", 0, 3, hit=0)
    assert words(plain, prompt) == {"admission"}
    special = Allocate(
        "r", 0, 1, hit=1, external=1, delay=True, lookahead=1, encoder=1, must_fit=True, reserved=1
    )
    assert words(special, prompt) == {
        "admission",
        "hit",
        "external",
        "delay",
        "lookahead",
        "encoder",
        "must_fit",
        "reserved",
    }
    assert words(Lookup("r", 1), prompt) == {"admission", "preempted"}


def test_what_a_request_holds_is_told() -> None:
    assert words(Free("r"), *admitted("r", 8)) == set()
    assert words(Free("r"), *admitted("r", 9)) == {"holds uncached blocks"}
    shared = (*admitted("r", 8), *admitted("s", 8, hit=4))
    assert words(Free("s"), *shared) == {"shares blocks"}


def test_the_pool_is_told() -> None:
    assert words(Free("r"), *admitted("r", 20)) == {"full"}
    used = (*admitted("r", 20), NewStep(), Free("r"))
    assert words(Free("r"), *used) == {"admission", "next block is cached"}


def test_what_is_evicted_or_reset_is_told() -> None:
    held = admitted("r", 5)
    assert words(Evict((1,)), *held) == {"cached", "in use"}
    assert words(Evict((2,)), *held) == {"in use"}
    assert words(Evict((5, 99)), *held) == set()
    assert words(Reset(), *held) == {"in use"}
    assert words(Reset()) == set()
