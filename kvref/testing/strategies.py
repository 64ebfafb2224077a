"""Strategies for tests that do without the machine: each draws as the fuzzer does, and shrinks."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from kvref.errors import ConfigurationError
from kvref.fuzz.configurations import Profile, draw
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.prompts import Prompts
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import Configuration, NewRequest, Operation, Trace
from kvref.testing.aim import reference
from kvref.testing.choices import Drawn
from kvref.testing.state import State
from kvref.testing.transitions import draw_next

LONGEST_TRACE = 60


@st.composite
def configurations(draw_: DrawFn, *, profile: Profile = "mixed", weights: Weights = DEFAULT) -> Configuration:
    """A hybrid configuration; a few are such that a manager may refuse them."""
    return draw(Drawn(draw_), profile, weights)


@st.composite
def requests(
    draw_: DrawFn,
    configuration: Configuration,
    *,
    earlier: Sequence[NewRequest] = (),
    extras: bool = True,
    weights: Weights = DEFAULT,
) -> NewRequest:
    """A request that fits the configuration; most begin like an `earlier` one, where there are any.

    With `extras` some have salts, adapters, images or embeddings.
    """
    block = max((group.block_size for group in configuration.groups), default=1)
    prompts = Prompts(configuration, block, weights, extras=extras)
    prompts.drawn.update({request.request: request for request in earlier})
    return prompts.draw(Drawn(draw_))


@st.composite
def states(
    draw_: DrawFn, configuration: Configuration, *, careful: bool = False, weights: Weights = DEFAULT
) -> State:
    """A scheduler with random habits, before its first operation."""
    choices = Drawn(draw_)
    return State(
        choices, configuration, draw_habits(choices, configuration, weights), weights, careful=careful
    )


@st.composite
def operations(draw_: DrawFn, state: State) -> Operation:
    """An operation that may legally come next: perform it, and `state.record` what came of it."""
    state.choices = Drawn(draw_)
    return draw_next(state)


@st.composite
def traces(
    draw_: DrawFn,
    *,
    careful: bool = False,
    length: int = LONGEST_TRACE,
    profile: Profile = "mixed",
    weights: Weights = DEFAULT,
) -> Trace:
    """A configuration, and the operations of a scheduler that was served by the reference."""
    choices = Drawn(draw_)
    configuration = draw(choices, profile, weights)
    try:
        session = reference().opener(configuration)
    except ConfigurationError:
        return Trace(configuration, ())
    habits = draw_habits(choices, configuration, weights)
    state = State(choices, configuration, habits, weights, careful=careful)
    performed: list[Operation] = []
    while len(performed) < length and choices.chance(1 - 1 / length):
        operation = draw_next(state)
        state.record(operation, session.apply(operation))
        performed.append(operation)
    return Trace(configuration, tuple(performed))
