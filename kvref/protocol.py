"""What a scheduler may legally do next: the caller's side of the contract [PROTO-1 to PROTO-13, PROTO-23].

`Scheduler` is the caller's book: what it knows of its requests, and so which operation may follow.
The generator asks it before it proposes, and a recorded trace can be checked against it. A step is
`NewStep`, allocations, then `StepEnds` when its results are there; with asynchronous scheduling one
launched step may still be running while the next one is scheduled [PROTO-12].

What vLLM 0.23.0's own scheduler does is legal here, but for its faults: docs/protocol.md. A request that is
freed leaves with its step launched; nothing more is allocated in that step [PROTO-13]. Outputs of a step
that a request was preempted behind may still be appended, and outputs that never come end it [PROTO-5]. External
tokens that were to come within a step may be lost: their request is computed again from there [PROTO-23].
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
    FINISHED = "finished"
    """It answers no more, and keeps its blocks until it is freed: a connector still sends them."""


@dataclass
class Book:
    """What the caller knows of one request; counts are in tokens.

    `computed` runs ahead of the step that computes: it counts what has been scheduled. `expected`
    tokens were scheduled behind the known ones: outputs that have not arrived, drafts included.
    `due` is how many of them the step that just ended may bring. `late` is how many may still come from
    a step that it was preempted behind. `doubtful` is where it began to compute in the step that just
    ended, and how far back the loss of its external tokens may throw it.
    """

    name: str
    tokens: int
    prompt: int
    phase: Phase = Phase.WAITING
    computed: int = 0
    expected: int = 0
    due: int = 0
    late: int = 0
    preemptions: int = 0
    scheduled_now: bool = False
    doubtful: tuple[int, int] | None = None

    @property
    def unscheduled(self) -> int:
        """Tokens, outputs on their way included, that no step was given yet."""
        return self.tokens + self.expected - self.computed


@dataclass(frozen=True)
class Scheduled:
    """One request's share of a step: `outputs` is the most tokens that it may bring.

    An admission is computed behind its `admitted` tokens: those it hit, and those with external ones.
    """

    book: Book
    outputs: int
    life: int
    admitted: tuple[int, int] | None = None


@dataclass
class Scheduler:
    """The caller's book over all requests. `drafts` is the most draft tokens a step may verify."""

    max_model_len: int
    drafts: int = 0
    books: dict[str, Book] = field(default_factory=dict)
    launched: deque[list[Scheduled]] = field(default_factory=deque)
    step: list[Scheduled] | None = None
    found: tuple[str, int] | None = None

    def violation(self, operation: Operation) -> str | None:  # noqa: C901, PLR0911
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
            case AppendTokens(tokens=tokens):
                fits = 1 <= len(tokens) <= (book.due or book.late)
                return None if fits else f"PROTO-5: {book.due or book.late} outputs are due"
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
        flies = self.launched or self.step is not None
        return None if flies else "PROTO-12: no step is in flight"

    def _allocation_violation(self, operation: Allocate, book: Book) -> str | None:  # noqa: PLR0911
        if self.step is None:
            # Keys are published before a step computes them: who is freed must have been launched with it.
            return "PROTO-1, PROTO-13: no step has begun, or one of its requests has been freed"
        if book.scheduled_now:
            return "PROTO-2, PROTO-4: the request is scheduled in this step already"
        again = book.doubtful is not None and book.doubtful[0] <= operation.computed <= book.doubtful[1]
        if operation.computed != book.computed and not again:
            return f"PROTO-4: {book.computed} tokens are computed, not {operation.computed}"
        if book.phase is Phase.WAITING:
            return self._admission_violation(operation, book)
        if book.phase is not Phase.RUNNING or (book.due and not again):
            return "PROTO-4: the request is not running, or its outputs are due"
        if operation.hit is not None or operation.external or operation.delay or operation.encoder:
            return "PROTO-4, PROTO-9: hits, external and encoder tokens are for admission"
        left = book.tokens - operation.computed if again else book.unscheduled
        room = min(left + self.drafts, self.max_model_len - 1 - operation.computed)
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
                if book.due:
                    book.computed -= book.due - len(tokens)
                    book.expected -= book.due
                book.tokens += len(tokens)
                book.due = book.late = 0
                book.doubtful = None
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
        if operation.computed != book.computed:
            book.computed, book.expected, book.due = operation.computed, 0, 0
        admitted = None
        if book.phase is Phase.WAITING:
            hit = operation.hit or 0
            admitted = (hit, hit + operation.external)
        book.late, book.doubtful = 0, None
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
        self.step.append(Scheduled(book, outputs, book.preemptions, admitted))

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
        for book in self.books.values():
            if book.due and book.doubtful is None:
                book.phase, book.due = Phase.FINISHED, 0
        loads = any(share.admitted and share.admitted[0] < share.admitted[1] for share in step)
        for share in step:
            book = share.book
            if share.life != book.preemptions:
                book.late = share.outputs if book.phase is Phase.WAITING else 0
            elif book.phase is Phase.RUNNING:
                book.due = share.outputs or book.due
                # What was lost is lost for whoever hit it in the same step, too.
                book.doubtful = share.admitted if loads else None

    def _free(self, book: Book) -> None:
        """Preempted, finished or aborted: a request that held blocks may come again [PROTO-6].

        A step that computes for it has been launched: its keys are there already [PROTO-13].
        """
        if book.scheduled_now:
            self._launch()
        book.preemptions += book.phase is not Phase.WAITING
        book.phase = Phase.WAITING
        book.computed = book.expected = book.due = book.late = 0
        book.doubtful = None
