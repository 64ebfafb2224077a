"""What a scheduler may legally do next: the caller's side of the contract [PROTO-1 to PROTO-13].

`Scheduler` is the caller's book: what it knows of its requests, and so which operation may follow.
The generator asks it before it proposes, and a recorded trace can be checked against it. A step is
`NewStep`, allocations, then `StepEnds` when its results are there; with asynchronous scheduling one
launched step may still be running while the next one is scheduled [PROTO-12].
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

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

STEPS_IN_FLIGHT = 2


class Phase(Enum):
    """Where a request is in its life."""

    WAITING = "waiting"
    LOADING = "loading"
    RUNNING = "running"


@dataclass
class Book:
    """What the caller knows of one request; counts are in tokens.

    `computed` runs ahead of the step that computes: it counts what has been scheduled. `expected`
    tokens were scheduled behind the known ones: outputs that have not arrived, drafts included.
    `due` is how many of them the step that just ended may bring.
    """

    name: str
    tokens: int
    prompt: int
    phase: Phase = Phase.WAITING
    computed: int = 0
    expected: int = 0
    due: int = 0
    preemptions: int = 0
    scheduled_now: bool = False

    @property
    def unscheduled(self) -> int:
        """Tokens, outputs on their way included, that no step was given yet."""
        return self.tokens + self.expected - self.computed


@dataclass(frozen=True)
class Scheduled:
    """One request's share of a step: `outputs` is the most tokens that it may bring."""

    book: Book
    outputs: int
    life: int


@dataclass
class Scheduler:
    """The caller's book over all requests. `drafts` is the most draft tokens a step may verify."""

    max_model_len: int
    drafts: int = 0
    books: dict[str, Book] = field(default_factory=dict)
    launched: deque[list[Scheduled]] = field(default_factory=deque)
    step: list[Scheduled] | None = None
    found: tuple[str, int] | None = None

    def violation(self, operation: Operation) -> str | None:  # noqa: C901, PLR0911, PLR0912
        """Why `operation` must not come next, with the rule's id; None if it may."""
        if isinstance(operation, NewRequest):
            taken = operation.request in self.books
            return "PROTO-11: the request id is taken" if taken else None
        if isinstance(operation, NewStep):
            busy = len(self.launched) + (self.step is not None) >= STEPS_IN_FLIGHT
            return "PROTO-12: two steps are in flight" if busy else None
        if isinstance(operation, StepEnds):
            return self._end_violation()
        name = getattr(operation, "request", None)
        if name is None:
            return None
        book = self.books.get(name)
        if book is None:
            return f"PROTO-11: request {name} is unknown"
        match operation:
            case Lookup():
                waits = book.phase is Phase.WAITING
                return None if waits else "PROTO-2: only a waiting request is looked up"
            case Allocate():
                return self._allocation_violation(operation, book)
            case Free():
                # Keys are published before the step computes them, so it must be launched first.
                early = book.scheduled_now
                return "PROTO-13: the step that was allocated has not been launched" if early else None
            case AppendTokens(tokens=tokens):
                fits = 1 <= len(tokens) <= book.due
                return None if fits else f"PROTO-5: {book.due} outputs are due"
            case CacheBlocks(tokens=tokens):
                if book.phase is Phase.LOADING and self.is_in_flight(book):
                    return "PROTO-21: the step that began the load has not run"
                known = min(book.computed - book.expected, book.tokens)
                holds = book.phase in (Phase.LOADING, Phase.RUNNING)
                fits = holds and tokens <= known
                return None if fits else f"PROTO-3, PROTO-12: {known} tokens are computed and known"
            case RemoveSkipped(tokens=tokens):
                fits = tokens <= book.computed
                return None if fits else f"PROTO-6: {book.computed} tokens are computed"
            case ContinueRequest(computed=computed):
                rests = book.phase is Phase.RUNNING and not self.is_in_flight(book)
                fits = rests and not book.due and computed == book.computed < book.tokens
                return None if fits else "REQ-7: a session goes on when its step has ended"
        return None

    def _end_violation(self) -> str | None:
        if not self.launched and self.step is None:
            return "PROTO-12: no step is in flight"
        owed = next((book.name for book in self.books.values() if book.due), None)
        return f"PROTO-5: outputs of request {owed} are due" if owed is not None else None

    def _allocation_violation(self, operation: Allocate, book: Book) -> str | None:  # noqa: PLR0911
        if self.step is None:
            return "PROTO-1: no step has begun"
        if book.scheduled_now:
            return "PROTO-2, PROTO-4: the request is scheduled in this step already"
        if operation.computed != book.computed:
            return f"PROTO-4: {book.computed} tokens are computed, not {operation.computed}"
        if book.phase is Phase.WAITING:
            return self._admission_violation(operation, book)
        if book.phase is not Phase.RUNNING or book.due:
            return "PROTO-4: the request is not running, or its outputs are due"
        if operation.hit is not None or operation.external or operation.delay or operation.encoder:
            return "PROTO-4, PROTO-9: hits, external and encoder tokens are for admission"
        room = min(book.unscheduled + self.drafts, self.max_model_len - 1 - book.computed)
        fits = 1 <= operation.new <= room
        return None if fits else f"PROTO-4: between 1 and {room} tokens may be scheduled"

    def _admission_violation(self, operation: Allocate, book: Book) -> str | None:
        if operation.hit is not None and self.found != (book.name, operation.hit):
            return "PROTO-2: hits are those of the lookup right before"
        if operation.new == 0 and not (operation.external and operation.delay):
            return "PROTO-3: only an external load admits no new token"
        if operation.delay and operation.new:
            return "PROTO-3: an external load computes nothing"
        total = (operation.hit or 0) + operation.external + operation.new
        if operation.new < 0 or total > book.tokens or total > self.max_model_len:
            return f"PROTO-2: the request has {book.tokens} tokens, not {total}"
        return None

    def is_in_flight(self, book: Book) -> bool:
        """Whether a step that has not run has a share of this request."""
        steps = [*self.launched, *([self.step] if self.step is not None else [])]
        return any(share.book is book for step in steps for share in step)

    def record(self, operation: Operation, observation: Observation) -> None:  # noqa: C901
        """Note that `operation` was performed and returned `observation`."""
        found, self.found = self.found, None
        match operation:
            case NewRequest(request=name, tokens=tokens):
                self.books[name] = Book(name, len(tokens), len(tokens))
            case NewStep():
                self._launch()
                self.step = []
            case StepEnds():
                self._launch()
                self._end(self.launched.popleft())
            case Lookup(request=name):
                self.found = (name, observation.tokens or 0)
            case Allocate(request=name) if observation.blocks is not None:
                self._schedule(operation, self.books[name])
            case Free(request=name):
                self._free(self.books[name])
            case AppendTokens(request=name, tokens=tokens):
                book = self.books[name]
                book.computed -= book.due - len(tokens)
                book.expected -= book.due
                book.tokens += len(tokens)
                book.due = 0
            case CacheBlocks(request=name, tokens=valid):
                self._loaded(self.books[name], valid)
            case ContinueRequest(request=name, computed=computed, tokens=tokens):
                book = self.books[name]
                book.tokens = book.prompt = computed + len(tokens)
            case Evict() | Reset() | Allocate() | RemoveSkipped():
                pass
            case _:
                self.found = found

    def _schedule(self, operation: Allocate, book: Book) -> None:
        assert self.step is not None  # noqa: S101 - checked by `violation`
        book.computed += (operation.hit or 0) + operation.external
        if operation.delay:
            book.phase = Phase.LOADING
            self.step.append(Scheduled(book, 0, book.preemptions))
            return
        remaining = book.unscheduled
        outputs = 1 + operation.new - remaining if operation.new >= remaining else 0
        book.phase = Phase.RUNNING
        book.computed += operation.new
        book.expected += outputs
        book.scheduled_now = True
        self.step.append(Scheduled(book, outputs, book.preemptions))

    def _loaded(self, book: Book, valid: int) -> None:
        """External tokens arrived, all or the first `valid`; one is always left to compute [PROTO-3]."""
        if book.phase is Phase.LOADING:
            book.phase = Phase.RUNNING
            book.computed = min(valid, book.tokens - 1)

    def _launch(self) -> None:
        if self.step is not None:
            self.launched.append(self.step)
            for share in self.step:
                share.book.scheduled_now = False
        self.step = None

    def _end(self, step: list[Scheduled]) -> None:
        for share in step:
            alive = share.book.phase is Phase.RUNNING and share.life == share.book.preemptions
            if alive and share.outputs:
                share.book.due = share.outputs

    def _free(self, book: Book) -> None:
        """Preempted, finished or aborted: a request that held blocks may come again [PROTO-6]."""
        book.preemptions += book.phase is not Phase.WAITING
        book.phase = Phase.WAITING
        book.computed = book.expected = book.due = 0
