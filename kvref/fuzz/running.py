"""What a step gives to requests that run: their next tokens, with drafts, at the cost of others."""

from kvref.fuzz.caller import Caller
from kvref.fuzz.serving import Serving
from kvref.operations import Allocate, Free, MambaGroup, NewStep
from kvref.protocol import Book, Phase


def begin_step(caller: Caller) -> None:
    """A step begins, with its budget of tokens."""
    caller.do(NewStep())
    caller.budget = caller.step_budget


def run(caller: Caller, book: Book) -> None:
    """Schedule a running request; while it is refused, preempt the youngest that may be."""
    operation = draw_allocation(caller, book)
    while operation is not None and not caller.avoids(operation):
        if caller.do(operation).blocks is not None:
            caller.budget -= operation.new
            return
        victims = [
            other
            for other in reversed(caller.books(Phase.RUNNING))
            if not other.scheduled_now and not other.due
        ]
        if not victims or caller.choices.chance(0.1):
            return
        caller.do(Free(victims[0].name))
        if victims[0] is book:
            return


def draw_allocation(serving: Serving, book: Book) -> Allocate | None:
    """What is asked for a running request; None if there is nothing to compute, or no room."""
    new = _draw_tokens(serving, book)
    if new <= 0:
        return None
    return Allocate(
        book.name, book.computed, new, lookahead=serving.draw_lookahead(), reserved=serving.draw_reserved()
    )


def _draw_tokens(serving: Serving, book: Book) -> int:
    choices = serving.choices
    room = min(serving.budget, serving.configuration.max_model_len - 1 - book.computed)
    new = min(book.unscheduled, room)
    if serving.care:
        new = serving.care.known(book.computed, new)
    if new <= 0:
        return 0
    if new == book.unscheduled and not (serving.care and new > 1):
        new = min(new + choices.integer(0, serving.scheduler.drafts), room)
    elif choices.chance(serving.weights.cut):
        new = draw_share(serving, book.computed, new)
    return whole_states(serving, book, book.computed, new)


def draw_share(serving: Serving, computed: int, most: int) -> int:
    """How many of the `most` tokens behind `computed` ones a step computes that could compute them all.

    Some steps end right before a group would release a block, or where it does: the next step holds most there.
    """
    choices = serving.choices
    if not choices.chance(serving.weights.edges):
        return choices.integer(1, most)
    period, first = choices.choice(serving.releases)
    reached = computed + choices.integer(1, most)
    end = reached - (reached - first) % period - choices.choice((0, 1, 1))
    return end - computed if computed < end else most


def whole_states(serving: Serving, book: Book, computed: int, new: int) -> int:
    """Mamba's align mode wants steps that end on state boundaries [PROTO-8]."""
    configuration = serving.configuration
    sizes = [g.block_size for g in configuration.groups if isinstance(g, MambaGroup) and g.mode == "align"]
    if not sizes or computed >= max(book.prompt, book.tokens - 1):
        return new
    size = max(sizes)
    if serving.care and computed % size:
        return new
    last = book.tokens - book.tokens % size
    if configuration.use_eagle:
        last = max(last - size, 0)
    if computed + new < last:
        return new // size * size
    return last - computed if computed < last < computed + new else new
