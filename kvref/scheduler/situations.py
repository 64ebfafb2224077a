"""The transitions of the protocol: which operation comes in which situation.

They are told apart by the caller's book, before the operation is noted in it.
"""

from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    ContinueRequest,
    Evict,
    Free,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
)
from kvref.protocol import Book, Phase, Scheduler

Transition = tuple[str, str]
"""An operation's name, and the situation that it comes in."""


class Follower:
    """A caller's book, and the transitions that it goes through. `drafts` is the most that a step verifies."""

    def __init__(self, max_model_len: int, drafts: int) -> None:
        self.scheduler = Scheduler(max_model_len, drafts)
        self._fresh: dict[str, str] = {}
        """Requests that were loaded, or sessions that went on, and have not run since."""

    def follow(self, operation: Operation, seen: Observation) -> Transition:
        """Note a legal operation, which returned what was `seen`; the situation that it came in."""
        name = getattr(operation, "request", "")
        found = _situation(self.scheduler, operation, seen)
        match operation:
            case CacheBlocks() if found.startswith("loaded"):
                self._fresh[name] = "loaded, its first step"
            case ContinueRequest():
                self._fresh[name] = "a session goes on"
            case Allocate() if found.startswith("running") and name in self._fresh:
                refused = seen.blocks is None
                found = self._fresh[name] + (", refused" if refused else "")
                if not refused:
                    del self._fresh[name]
            case Free():
                self._fresh.pop(name, None)
            case _:
                pass
        self.scheduler.record(operation, seen)
        return type(operation).__name__, found


def _situation(scheduler: Scheduler, operation: Operation, seen: Observation) -> str:  # noqa: C901, PLR0911, PLR0912 - one a kind
    name = getattr(operation, "request", None)
    book = scheduler.books.get(name) if isinstance(name, str) else None
    match operation:
        case NewRequest():
            return "any time"
        case NewStep():
            return (
                "a step in flight" if scheduler.launched or scheduler.step is not None else "none in flight"
            )
        case StepEnds():
            return _end(scheduler)
        case Reset():
            return ("done" if seen.done else "refused") + _flight(scheduler)
        case Evict():
            return "any time"
        case _ if book is None:
            return "a question" + _flight(scheduler)
        case Lookup():
            return "again, after a preemption" if book.preemptions else "a new request"
        case Allocate():
            return _allocation(scheduler, book, operation, seen)
        case Free():
            return _free(scheduler, book)
        case AppendTokens(tokens=tokens):
            return _outputs(book, len(tokens))
        case CacheBlocks(tokens=tokens):
            return _cached(book, tokens)
        case RemoveSkipped():
            return book.phase.value
        case ContinueRequest():
            return "a session rests"
        case _:
            return "a question" + _flight(scheduler)


def _flight(scheduler: Scheduler) -> str:
    flies = scheduler.launched or scheduler.step is not None
    return ", a step in flight" if flies else ", none in flight"


def _end(scheduler: Scheduler) -> str:
    ahead = len(scheduler.launched) + (scheduler.step is not None) > 1
    owed = any(book.due for book in scheduler.books.values())
    what = "the next one launched" if ahead else "no other in flight"
    return f"{what}, outputs that never came" if owed else what


def _allocation(scheduler: Scheduler, book: Book, operation: Allocate, seen: Observation) -> str:
    refused = "" if seen.blocks is not None else ", refused"
    if book.phase is Phase.WAITING:
        return _admission(operation) + refused
    if operation.computed != book.computed:
        return "running, computed again: a load was lost" + refused
    ahead = ", ahead of its outputs" if scheduler.is_in_flight(book) else ""
    if operation.new > book.unscheduled:
        return "running, with drafts" + ahead + refused
    if operation.new < book.unscheduled:
        return "running, a chunk" + ahead + refused
    return "running, all that is left" + ahead + refused


def _admission(operation: Allocate) -> str:
    if operation.delay:
        return "admission, external tokens later"
    if operation.encoder:
        return "admission, encoder tokens"
    if operation.external:
        return "admission, external tokens now"
    if operation.hit is None:
        return "admission, its hit unused"
    return "admission, a hit" if operation.hit else "admission, no hit"


def _free(scheduler: Scheduler, book: Book) -> str:
    if book.phase is Phase.WAITING:
        return "waiting again" if book.preemptions else "waiting, never admitted"
    if book.phase is Phase.LOADING:
        return "loading, its step not run" if scheduler.is_in_flight(book) else "loading"
    if book.phase is Phase.FINISHED:
        return "finished"
    if book.scheduled_now:
        return "running, in the step just launched"
    if book.due:
        return "running, outputs due"
    return "running, a step in flight" if scheduler.is_in_flight(book) else "running, at rest"


def _outputs(book: Book, count: int) -> str:
    if not book.due:
        return "late: preempted meanwhile"
    if book.due == 1:
        return "one token"
    return "all drafts accepted" if count == book.due else "drafts rejected"


def _cached(book: Book, tokens: int) -> str:
    if book.phase is Phase.LOADING:
        return "loaded" if tokens == book.computed else "loaded in part"
    return "computed"
