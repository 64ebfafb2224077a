"""What a step that ended brings: outputs, loads that are done, requests that leave or go on [PROTO-5]."""

from kvref.fuzz.caller import Caller
from kvref.fuzz.prompts import VOCABULARY
from kvref.fuzz.serving import Serving
from kvref.operations import (
    AppendTokens,
    CacheBlocks,
    ContinueRequest,
    Free,
    FullGroup,
    MLAGroup,
    RemoveSkipped,
)
from kvref.protocol import Book, Phase


def outputs(caller: Caller) -> None:
    """All tokens that are due arrive."""
    for book in [b for b in caller.books(Phase.RUNNING) if b.due]:
        output(caller, book)


def output(caller: Caller, book: Book) -> None:
    """The tokens of a request that are due arrive; an asynchronous scheduler may then cache them."""
    operation = draw_output(caller, book)
    caller.answers[book.name] -= len(operation.tokens)
    caller.do(operation)
    if caller.habits.asynchronous and caller.choices.chance(0.8):
        caller.offer(CacheBlocks(book.name, min(book.computed - book.expected, book.tokens)))


def draw_output(serving: Serving, book: Book) -> AppendTokens:
    """The sampled token, and as many drafts as were accepted."""
    choices, weights = serving.choices, serving.weights
    accepted = book.due
    if accepted > 1 and not choices.chance(weights.all_accepted):
        accepted = 1 if choices.chance(weights.all_rejected) else choices.integer(1, book.due)
    return AppendTokens(book.name, choices.integers(accepted, 0, VOCABULARY - 1))


def draw_load(serving: Serving, book: Book) -> CacheBlocks | Free:
    """The load is done, or failed: altogether, or behind a valid prefix [PROTO-3]."""
    choices = serving.choices
    keeps_all = all(isinstance(g, FullGroup | MLAGroup) for g in serving.configuration.groups)
    if choices.chance(serving.weights.load_fails):
        return Free(book.name)
    if keeps_all and choices.chance(0.2):
        # A window's table has nulls before what was to be loaded: there the prefix is of no use.
        return CacheBlocks(book.name, choices.integer(1, book.computed))
    return CacheBlocks(book.name, book.computed)


def leave(caller: Caller) -> None:
    """Requests that are done finish, or go on as sessions; some are aborted, some preempted."""
    choices, weights = caller.choices, caller.weights
    for book in [*caller.books(Phase.RUNNING), *caller.books(Phase.WAITING)]:
        done = caller.answers[book.name] <= 0 or book.tokens >= caller.configuration.max_model_len - 1
        if done and may_rest(caller, book) and choices.chance(weights.continues):
            go_on(caller, book)
        elif done or choices.chance(weights.aborts):
            finish(caller, book)
        elif choices.chance(weights.preempts) and book.phase is Phase.RUNNING:
            caller.do(Free(book.name))


def may_rest(serving: Serving, book: Book) -> bool:
    """Whether the request may be a session that waits for its next input."""
    rests = book.computed < book.tokens and book.phase is Phase.RUNNING
    return rests and not serving.habits.asynchronous and serving.habits.extras


def go_on(caller: Caller, book: Book) -> None:
    """A session goes on with its next input, or finishes where that cannot be."""
    operation = draw_input(caller, book)
    if operation is None or caller.avoids(operation):
        finish(caller, book)
        return
    caller.answers[book.name] = 3
    caller.do(operation)


def draw_input(serving: Serving, book: Book) -> ContinueRequest | None:
    """A session's next input; None if it has no room for one, or cannot have one [REQ-7]."""
    choices = serving.choices
    room = serving.configuration.max_model_len - 2 - book.computed
    if room < 1 or serving.prompts.drawn[book.name].embeds or serving.scheduler.launched:
        return None
    tokens = choices.integers(choices.integer(1, room), 0, VOCABULARY - 1)
    return ContinueRequest(book.name, book.computed, tokens, serving.prompts.items(choices, len(tokens)))


def finish(caller: Caller, book: Book) -> None:
    """The request leaves."""
    if caller.habits.connector and caller.choices.chance(0.3):
        caller.offer(RemoveSkipped(book.name, book.computed))
    caller.do(Free(book.name))
    caller.live.remove(book.name)
