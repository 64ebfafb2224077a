"""Every small state is visited, names do not count, and what is wrong is found in the shortest way."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from invariants.view import View
from kvref.check.canonical import Contents, canonical
from kvref.check.configurations import GROUPS, scope
from kvref.check.explore import explore
from kvref.check.moves import Scope
from kvref.compare import differences
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
)
from kvref.protocol import Scheduler
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession

SMALL = Configuration((FullGroup(1),), 3, 3, 1, 1, log_stats=False)


def small(name: str) -> Scope:
    return scope(name, blocks=2, requests=1, tokens=2, letters=1, by_hand=True)


@pytest.mark.parametrize("name", GROUPS)
def test_the_optimized_manager_agrees_in_every_state_of_one_short_request(name: str) -> None:
    seen = explore(small(name), ReferenceSession, OptimizedSession)
    assert seen.complete
    assert not seen.wrong
    assert seen.transitions >= seen.states > 1


def test_more_token_values_and_requests_are_more_states() -> None:
    fewer = explore(small("full"), ReferenceSession, ReferenceSession)
    wider = scope("full", blocks=2, requests=1, tokens=2, letters=2, by_hand=True)
    assert explore(wider, ReferenceSession, ReferenceSession).states > fewer.states


def test_a_bound_on_states_ends_the_check_unfinished() -> None:
    wide = scope("full", blocks=2, requests=2, tokens=3, letters=2, by_hand=True)
    seen = explore(wide, ReferenceSession, ReferenceSession, most_states=50)
    assert not seen.complete
    assert not seen.wrong


class _ForgetsToQueue(OptimizedSession):
    """A manager that shows one free block too few once a request has been freed."""

    freed = False

    def apply(self, operation: Operation) -> Observation:
        self.freed = self.freed or isinstance(operation, Free)
        return super().apply(operation)

    def view(self) -> View:
        seen = super().view()
        return replace(seen, free_queue=seen.free_queue[:-1]) if self.freed else seen


def test_what_is_wrong_is_reached_by_a_shortest_way() -> None:
    seen = explore(small("full"), ReferenceSession, _ForgetsToQueue)
    assert seen.trace is not None
    # A request arrives and is freed: nothing shorter frees anything.
    assert [type(operation) for operation in seen.trace.operations] == [NewRequest, Free]
    assert any(found.what == "free queue" for found in seen.wrong)


def test_a_counterexample_is_a_trace_that_shows_it_again() -> None:
    seen = explore(small("full"), ReferenceSession, _ForgetsToQueue)
    assert seen.trace is not None
    mine, theirs = ReferenceSession(seen.trace.configuration), _ForgetsToQueue(seen.trace.configuration)
    for operation in seen.trace.operations:
        pictures = [Picture(session.apply(operation), session.view()) for session in (mine, theirs)]
    assert tuple(differences(*pictures)) == seen.wrong


def _played(names: Sequence[str], tokens: Sequence[int]) -> bytes:
    """A request of two tokens runs to its first output, another waits."""
    first, second = names
    one, other = tokens
    operations = (
        NewRequest(first, (one, other)),
        NewRequest(second, (other,)),
        NewStep(),
        Lookup(first, 0),
        Allocate(first, 0, 2, hit=0),
        StepEnds(),
    )
    session, scheduler = ReferenceSession(SMALL), Scheduler(3, 0)
    for operation in operations:
        scheduler.record(operation, session.apply(operation))
    texts = {first: (one, other), second: (other,)}
    contents = Contents(SMALL)
    for text in texts.values():
        contents.note(text)
    return canonical(session.view(), scheduler, texts, contents)


def test_states_that_differ_in_names_are_one() -> None:
    assert _played(("a", "b"), (5, 7)) == _played(("z", "y"), (1, 0))


def test_states_that_differ_in_equal_tokens_are_two() -> None:
    assert _played(("a", "b"), (5, 7)) != _played(("a", "b"), (5, 5))


def test_a_token_more_is_another_state() -> None:
    session, scheduler = ReferenceSession(SMALL), Scheduler(3, 0)
    contents = Contents(SMALL)
    contents.note((5, 7))
    seen = set()
    texts: dict[str, tuple[int, ...]] = {"a": (5,)}
    for operation in (
        NewRequest("a", (5,)),
        NewStep(),
        Allocate("a", 0, 1),
        StepEnds(),
        AppendTokens("a", (7,)),
    ):
        scheduler.record(operation, session.apply(operation))
        if isinstance(operation, AppendTokens):
            texts = {"a": (5, 7)}
        seen.add(canonical(session.view(), scheduler, texts, contents))
    assert len(seen) == 5
