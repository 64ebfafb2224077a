"""What may happen between steps, and nothing depends on: queries, resets, evictions."""

from kvref.fuzz.caller import Caller
from kvref.fuzz.serving import Serving
from kvref.operations import (
    CommonPrefix,
    Evict,
    Free,
    GetBlocks,
    Operation,
    RemoveSkipped,
    Reset,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.protocol import Phase

QUERIES: tuple[Operation, ...] = (TakeEvents(), TakeNewBlockIds(), TakeNewBlockIds(), TakeStats())


def small_talk(caller: Caller) -> None:
    """A query, or an upheaval, or both, or nothing."""
    if caller.choices.chance(0.5):
        caller.offer(caller.choices.choice(QUERIES))
    if caller.choices.chance(caller.habits.chatty):
        upheaval(caller)


def upheaval(caller: Caller) -> None:
    """One of the odd things that a caller may do at any time."""
    choices = caller.choices
    name = choices.choice(caller.live) if caller.live else "nobody"
    book = caller.scheduler.books.get(name)
    match choices.weighted(range(6), caller.weights.upheavals):
        case 0 if running := caller.books(Phase.RUNNING):
            # Of a request without a table the query would make one that counts from then on.
            caller.offer(CommonPrefix(choices.choice(running).name))
        case 1 if book is not None:
            caller.do(GetBlocks(name))
        case 2:
            caller.offer(Reset())
        case 3:
            preempt_all(caller)
            caller.offer(Reset())
        case 4:
            if caller.configuration.num_blocks > 1:
                caller.offer(draw_eviction(caller))
        case _ if book is not None:
            caller.offer(RemoveSkipped(name, book.computed))
        case _:
            pass


def preempt_all(caller: Caller) -> None:
    """Every running request loses its blocks, as before a reset that must succeed."""
    for book in caller.books(Phase.RUNNING):
        if not book.scheduled_now:
            caller.do(Free(book.name))


def draw_eviction(serving: Serving) -> Evict:
    """A few blocks forget their content: any, or some that a request was given lately.

    The pool has one besides the null block.
    """
    choices = serving.choices
    count = choices.integer(1, 4)
    given = [block for table in serving.told for block in table if block]
    if given and choices.chance(0.5):
        blocks = {choices.choice(given) for _ in range(count)}
    else:
        blocks = {choices.integer(1, serving.configuration.num_blocks - 1) for _ in range(count)}
    return Evict(tuple(sorted(blocks)))
