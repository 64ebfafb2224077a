"""Every small state is visited, and what is wrong is found in the shortest way."""

from dataclasses import replace
from itertools import product

import pytest

from invariants.view import View
from kvref.check import explore as exploring
from kvref.check import moves as alphabet
from kvref.check.configurations import SETUPS, Size, scope_called
from kvref.check.explore import explore
from kvref.check.image import Image
from kvref.check.moves import Scope
from kvref.check.playing import Playing, start
from kvref.compare import Difference, differences
from kvref.operations import Allocate, Free, NewRequest, NewStep, Observation, Operation, Trace
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession

LEAST = Size(letters=1, by_hand=False)
ENOUGH = 300


def _least(name: str) -> Scope:
    return scope_called(name, LEAST)


@pytest.mark.parametrize("name", SETUPS)
def test_the_optimized_manager_agrees_in_every_configuration_for_a_while(name: str) -> None:
    seen = explore(_least(name), ReferenceSession, OptimizedSession, most_transitions=ENOUGH)
    assert seen.ending in ("exhausted", "bound")
    assert not seen.wrong
    assert seen.states > 10


def test_what_is_exhausted_is_said() -> None:
    seen = explore(_least("full"), ReferenceSession, OptimizedSession)
    assert seen.ending == "exhausted"
    again = explore(_least("full"), ReferenceSession, OptimizedSession, seen.transitions + 1)
    assert (again.states, again.ending) == (seen.states, "exhausted")


def test_a_bound_on_transitions_ends_the_check_unfinished() -> None:
    seen = explore(_least("full/two"), ReferenceSession, ReferenceSession, most_transitions=50)
    assert seen.ending == "bound"
    assert 50 <= seen.transitions < 80


def test_more_token_values_blocks_and_requests_are_more_states() -> None:
    def states(**more: int) -> int:
        asked = replace(LEAST, **more)  # type: ignore[arg-type] # counts
        return explore(scope_called("full", asked), ReferenceSession, ReferenceSession, 4000).states

    assert states() < min(states(letters=2), states(blocks=3), states(requests=2))


def test_moves_that_are_left_out_for_their_names_lead_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = scope_called("full", Size(letters=2, by_hand=False))
    seen = explore(wide, ReferenceSession, ReferenceSession)

    def all_texts(scope: Scope, _letters: frozenset[int], length: int) -> object:
        return product(range(scope.letters), repeat=length)

    monkeypatch.setattr(alphabet, "_texts", all_texts)
    every = explore(wide, ReferenceSession, ReferenceSession)
    assert every.transitions > seen.transitions
    assert (every.states, every.depth) == (seen.states, seen.depth)


@pytest.mark.parametrize("ahead", [0, 10, 4000])
def test_going_back_is_as_good_as_starting_over(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is made anew from the beginning, and looks as it did when it was come back to."""
    monkeypatch.setattr(exploring, "MOST_AHEAD", ahead)
    scope = _least("sliding/two")
    search = exploring._Search(scope, ReferenceSession, OptimizedSession)
    compared = []
    usual = exploring._Search._go_to

    def go_to(self: exploring._Search, at: int) -> Image:
        image = usual(self, at)
        came_back = self._fingerprint()
        playing, self._playing = self._playing, start(scope, ReferenceSession, OptimizedSession)
        for move in self._path(at):
            self._playing.make(move)
        compared.append((came_back, self._fingerprint()))
        self._playing = playing
        return image

    monkeypatch.setattr(exploring._Search, "_go_to", go_to)
    search.run(800, lambda _: None)
    assert len(compared) > 80
    assert all(back == anew for back, anew in compared)


class _ForgetsToQueue(OptimizedSession):
    """A manager that shows one free block too few once a request has been freed."""

    freed = False

    def apply(self, operation: Operation) -> Observation:
        self.freed = self.freed or isinstance(operation, Free)
        return super().apply(operation)

    def view(self) -> View:
        seen = super().view()
        return replace(seen, free_queue=seen.free_queue[:-1]) if self.freed else seen


class _Raises(OptimizedSession):
    """A manager that raises at the first free."""

    def apply(self, operation: Operation) -> Observation:
        if not isinstance(operation, Free):
            return super().apply(operation)
        raise ValueError("what\never")


def test_what_is_wrong_is_reached_by_a_shortest_way() -> None:
    seen = explore(_least("full"), ReferenceSession, _ForgetsToQueue)
    assert seen.ending == "counterexample"
    assert seen.trace is not None
    # A request arrives and is freed: nothing shorter frees anything.
    assert [type(operation) for operation in seen.trace.operations] == [NewRequest, Free]
    assert any(found.what == "free queue" for found in seen.wrong)


def test_a_counterexample_is_a_trace_that_shows_it_again() -> None:
    seen = explore(_least("full"), ReferenceSession, _ForgetsToQueue)
    assert seen.trace is not None
    mine, theirs = ReferenceSession(seen.trace.configuration), _ForgetsToQueue(seen.trace.configuration)
    for operation in seen.trace.operations:
        pictures = [Picture(session.apply(operation), session.view()) for session in (mine, theirs)]
    assert tuple(differences(*pictures)) == seen.wrong


def test_a_manager_that_raises_is_wrong_in_one_line() -> None:
    seen = explore(_least("full"), ReferenceSession, _Raises)
    assert [found.actual for found in seen.wrong] == ["ValueError: what"]


def test_a_broken_invariant_is_wrong_though_both_agree() -> None:
    seen = explore(_least("full"), _ForgetsToQueue, _ForgetsToQueue)
    assert {found.what for found in seen.wrong} >= {"free-iff-unused"}


def test_an_interrupt_ends_the_check_with_what_was_reached() -> None:
    def interrupt(seen: exploring.Explored) -> None:
        if seen.transitions > 100:
            raise KeyboardInterrupt

    seen = explore(_least("full/two"), ReferenceSession, OptimizedSession, on_state=interrupt)
    assert seen.ending == "interrupt"
    assert 100 < seen.transitions < 150
    assert seen.memory > 0


def test_whoever_comes_later_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search gives names again, a trace does not."""
    arrivals = 3

    def wrong_at_the_third(self: Playing, operation: Operation) -> tuple[Observation, list[Difference]]:
        observation, _ = usual(self, operation)
        count = getattr(self, "arrivals", 0) + isinstance(operation, NewRequest)
        self.arrivals = count  # type: ignore[attr-defined] # put back with everything else
        return observation, [Difference("arrivals", "two", "three")] if count == arrivals else []

    usual = Playing.perform
    monkeypatch.setattr(Playing, "perform", wrong_at_the_third)
    seen = explore(_least("full/two"), ReferenceSession, ReferenceSession, 3000)
    assert isinstance(seen.trace, Trace)
    names = [one.request for one in seen.trace.operations if isinstance(one, NewRequest)]
    assert names == ["r0", "r1", "r2"]


def test_without_chunked_prefill_a_prompt_is_computed_in_one_step() -> None:
    def admitted(*, in_parts: bool) -> set[int]:
        scope = scope_called("full/two", Size(chunked_prefill=in_parts))
        playing = start(scope, ReferenceSession, OptimizedSession)
        for move in (NewRequest("r0", (0, 0)), NewStep()):
            playing.make(move)
        found = alphabet.moves(scope, playing.scheduler, frozenset({0}))
        return {move.new for move in found if isinstance(move, Allocate)}

    assert admitted(in_parts=True) == {1, 2}
    assert admitted(in_parts=False) == {2}


def test_what_is_left_of_steps_behind_preemptions_makes_no_states_without_end() -> None:
    """A load that is awaited can be given up, and asked for again in the same step, as often as one likes."""
    seen = explore(scope_called("full+connector", LEAST), ReferenceSession, OptimizedSession, 10_000)
    assert seen.ending == "exhausted"
