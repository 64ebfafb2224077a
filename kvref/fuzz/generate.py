"""One random case: a scheduler at work on a session, step after step.

A refusal leads to preemption, a hit to a shorter prefill. Every choice is asked of the case's `Choices`:
with seeded ones it repeats exactly.
"""

from kvref.fuzz.admission import admit, arrive
from kvref.fuzz.caller import Caller, CaseOver
from kvref.fuzz.results import draw_load, finish, leave, outputs
from kvref.fuzz.running import begin_step, run, whole_states
from kvref.fuzz.serving import MAX_LIVE
from kvref.fuzz.upheavals import small_talk
from kvref.operations import Allocate, CacheBlocks, GetBlocks, NewStep, Operation, Reset, StepEnds
from kvref.protocol import Book, Phase

MOST_AFTER = 60
"""So many operations at the most wind a case down."""

MOST_STEPS_ALONE = 8


def play(caller: Caller) -> list[Operation]:
    """Play until the case is long enough: its operations."""
    try:
        while True:
            _step(caller)
    except CaseOver:
        return caller.operations


def wind_down(caller: Caller) -> None:
    """End the case as a server would: steps end, one request runs on alone, then all leave.

    What a manager still refuses then, or still holds, it would refuse or hold for ever.
    """
    caller.length += MOST_AFTER
    try:
        if caller.untold is not None:
            caller.do(GetBlocks(caller.untold))
        outputs(caller)
        while caller.scheduler.step is not None or caller.scheduler.launched:
            caller.do(StepEnds())
            outputs(caller)
        for book in caller.books(Phase.LOADING):
            caller.do(CacheBlocks(book.name, book.computed))
        running = caller.books(Phase.RUNNING)
        # Whom the admission gate let in as a whole has to get there.
        begun = [book for book in running if book.unscheduled > 1]
        alone = caller.choices.choice(begun or running) if running else None
        for book in caller.books(Phase.RUNNING):
            if book is not alone:
                finish(caller, book)
        if alone is not None:
            _run_alone(caller, alone)
            finish(caller, alone)
        caller.offer(Reset())
        name = arrive(caller)
        caller.do(NewStep())
        admit(caller, caller.scheduler.books[name])
    except CaseOver:
        pass


def _run_alone(caller: Caller, book: Book) -> None:
    for _ in range(MOST_STEPS_ALONE):
        room = caller.configuration.max_model_len - 1 - book.computed
        new = min(book.unscheduled, room, caller.step_budget)
        if caller.care:
            new = caller.care.known(book.computed, new)
        new = whole_states(caller, book, book.computed, new)
        if new <= 0:
            return
        caller.do(NewStep())
        granted = caller.do(Allocate(book.name, book.computed, new)).blocks is not None
        caller.do(StepEnds())
        if not granted:
            return
        outputs(caller)


def _step(caller: Caller) -> None:
    choices, weights, scheduler = caller.choices, caller.weights, caller.scheduler
    for _ in range(choices.choice(weights.arrivals)):
        if len(caller.live) < MAX_LIVE:
            arrive(caller)
    begin_step(caller)
    for book in caller.books(Phase.RUNNING):
        if not book.due and book.phase is Phase.RUNNING and choices.chance(weights.run):
            run(caller, book)
    for book in caller.books(Phase.WAITING):
        if choices.chance(weights.admit) and not admit(caller, book):
            break
    if caller.habits.asynchronous and not scheduler.launched and choices.chance(0.9):
        small_talk(caller)
        return
    caller.do(StepEnds())
    outputs(caller)
    for book in caller.books(Phase.LOADING):
        if not scheduler.is_in_flight(book) and choices.chance(weights.load_ends):
            caller.do(draw_load(caller, book))
    leave(caller)
    small_talk(caller)
