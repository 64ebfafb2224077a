"""What may come next, by its idea: each draws one legal operation, as the fuzzer would choose it.

Those that find nothing to do draw None.
"""

from collections.abc import Callable
from functools import partial

from kvref.fuzz.admission import draw_admission
from kvref.fuzz.results import draw_input, draw_load, draw_output
from kvref.fuzz.running import draw_allocation
from kvref.fuzz.upheavals import QUERIES, draw_eviction
from kvref.operations import (
    CacheBlocks,
    CommonPrefix,
    Free,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
)
from kvref.protocol import Phase
from kvref.testing.state import LiveRequest, State


def draw_arrival(state: State) -> NewRequest:
    """A request arrives."""
    return state.prompts.draw(state.choices)


def draw_tokens(request: LiveRequest) -> Operation | None:
    """The next call on the way to more tokens: a step begins, a lookup, the allocation."""
    state, book = request.state, request.book
    if state.untold is not None:
        return GetBlocks(state.untold)
    if not request.is_next():
        return NewStep()
    if book.phase is Phase.RUNNING:
        return draw_allocation(state, book)
    found = state.scheduler.found
    if found is None or found[0] != book.name:
        return Lookup(book.name, book.preemptions)
    return draw_admission(state, book, found[1])


def may_bring_results(state: State) -> bool:
    """Whether a step may end, or something that it brings is due."""
    return state.untold is None and bool(_due(state) or _loaded(state) or _may_end(state))


def draw_results(state: State) -> Operation:
    """The oldest step ends, or outputs or a load arrive: what is due comes first."""
    due = _due(state)
    if due:
        return draw_output(state, state.choices.choice(due).book)
    options: list[LiveRequest | None] = [None] if _may_end(state) else []
    chosen = state.choices.choice([*options, *_loaded(state)])
    return StepEnds() if chosen is None else draw_load(state, chosen.book)


def draw_finish(request: LiveRequest) -> Operation:
    """It leaves for good."""
    request.state.leaving.add(request.name)
    return Free(request.name)


def draw_preemption(request: LiveRequest) -> Operation:
    """It loses its blocks, and waits for others."""
    return Free(request.name)


def draw_next_input(request: LiveRequest) -> Operation | None:
    """A session goes on."""
    return draw_input(request.state, request.book)


def draw_turn(request: LiveRequest) -> Operation | None:
    """It goes on as a session where it can, or is preempted."""
    return draw_next_input(request) if request.may_go_on() else draw_preemption(request)


def may_serve(state: State) -> bool:
    """Whether a request may get tokens, or a step may end."""
    return may_bring_results(state) or any(map(LiveRequest.may_get_tokens, state.requests()))


def draw_served(state: State) -> LiveRequest | None:
    """The request that gets tokens next, None if results come first."""
    able: list[LiveRequest | None] = [r for r in state.requests() if r.may_get_tokens()]
    return state.choices.choice([*able, None] if may_bring_results(state) else able)


def draw_query(state: State) -> Operation:
    """Something is asked, or taken that the manager has gathered."""
    running = state.books(Phase.RUNNING)
    # Of a request without a table the query would make one that counts from then on.
    prefixes = [CommonPrefix(book.name) for book in running]
    tables = [GetBlocks(name) for name in state.live]
    return state.choices.choice([*QUERIES, *tables, *prefixes])


def draw_upheaval(state: State) -> Operation:
    """One of the odd things that a caller may do at any time."""
    options: list[Operation | None] = [Reset()]
    if state.configuration.num_blocks > 1:
        options.append(None)
    for book in (state.scheduler.books[name] for name in state.live):
        options.append(RemoveSkipped(book.name, book.computed))
        if state.habits.asynchronous and book.phase is Phase.RUNNING:
            options.append(CacheBlocks(book.name, min(book.computed - book.expected, book.tokens)))
    return state.choices.choice(options) or draw_eviction(state)


def draw_next(state: State) -> Operation:
    """Any of these, as often as the work of a scheduler goes on."""
    options: list[tuple[float, Callable[[], Operation | None]]] = [
        (0.5, lambda: draw_query(state)),
        (0.2, lambda: draw_upheaval(state)),
    ]
    if state.has_room:
        options.append((1, lambda: draw_arrival(state)))
    if may_bring_results(state):
        options.append((4, lambda: draw_results(state)))
    by_request: tuple[
        tuple[float, Callable[[LiveRequest], bool], Callable[[LiveRequest], Operation | None]], ...
    ] = (
        (6, LiveRequest.may_get_tokens, draw_tokens),
        (0.2, LiveRequest.may_lose_blocks, draw_preemption),
        (0.4, LiveRequest.may_lose_blocks, draw_finish),
        (0.4, LiveRequest.may_go_on, draw_next_input),
    )
    for weight, may, draw in by_request:
        able = [request for request in state.requests() if may(request)]
        if able:
            options.append((weight, partial(_draw_for_one, state, able, draw)))
    chosen = state.choices.weighted([option for _, option in options], [weight for weight, _ in options])
    return chosen() or draw_query(state)


def _draw_for_one(
    state: State, able: list[LiveRequest], draw: Callable[[LiveRequest], Operation | None]
) -> Operation | None:
    return draw(state.choices.choice(able))


def _due(state: State) -> list[LiveRequest]:
    return [request for request in state.requests() if request.book.due]


def _loaded(state: State) -> list[LiveRequest]:
    """Loads whose step has run."""
    loading = (r for r in state.requests() if r.book.phase is Phase.LOADING)
    return [request for request in loading if not state.scheduler.is_in_flight(request.book)]


def _may_end(state: State) -> bool:
    return state.scheduler.violation(StepEnds()) is None
