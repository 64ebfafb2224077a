"""One random case: a scheduler at work on a session, step after step.

The generator plays the scheduler. It knows what `protocol.Scheduler` knows, proposes only what that
calls legal, and follows the session's answers: a refusal leads to preemption, a hit to a shorter
prefill. Every choice comes from one seeded generator, so a case repeats exactly.
"""

from collections.abc import Callable
from random import Random

from kvref.fuzz.care import Care
from kvref.fuzz.configurations import chance
from kvref.fuzz.prompts import VOCABULARY, Prompts
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    CrossGroup,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    MambaGroup,
    MLAGroup,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.protocol import Book, Phase, Scheduler

Apply = Callable[[Operation], Observation]
Avoids = Callable[[Operation], bool]

MAX_LIVE = 6
MOST_AFTER = 60
"""So many operations at the most wind a case down."""

MOST_STEPS_ALONE = 8


class CaseOver(Exception):  # noqa: N818 - not an error
    """The case has as many operations as it should."""


class Caller:
    """A scheduler with random habits.

    `apply` performs an operation; `avoids` tells operations that this case stays clear of. A careful
    scheduler also keeps what no manager can know: see `Care`.
    """

    def __init__(
        self,
        rng: Random,
        configuration: Configuration,
        apply: Apply,
        avoids: Avoids,
        length: int,
        *,
        careful: bool = False,
    ) -> None:
        self.rng = rng
        self.configuration = configuration
        self.length = length
        self.operations: list[Operation] = []
        self.block = max(group.block_size for group in configuration.groups) if configuration.groups else 4
        self.asynchronous = chance(rng, 0.25)
        self.connector = chance(rng, 0.3)
        self.lookahead = rng.choice((0, 0, 0, 1, 2, 4))
        self.varying_lookahead = chance(rng, 0.1)
        self.prompts = Prompts(rng, configuration, self.block)
        self.gated = chance(rng, 0.25)
        self.reserving = chance(rng, 0.15)
        self.chatty = rng.choice((0.0, 0.05, 0.2))
        self.budget = 0
        self.care = Care(configuration) if careful else None
        drafts = (
            self.care.drafts(self.lookahead, asynchronous=self.asynchronous) if self.care else self.lookahead
        )
        self.scheduler = Scheduler(configuration.max_model_len, drafts)
        self._apply = apply
        self._avoids = avoids
        self._live: list[str] = []
        self._untold: str | None = None
        """An admitted request whose table the worker was not told yet."""
        self._answers: dict[str, int] = {}

    def run(self) -> list[Operation]:
        """Play until the case is long enough."""
        try:
            while True:
                self._step()
        except CaseOver:
            return self.operations

    def wind_down(self) -> None:
        """End the case as a server would: steps end, one request runs on alone, then all leave.

        What a manager still refuses then, or still holds, it would refuse or hold for ever.
        """
        self.length += MOST_AFTER
        try:
            if self._untold is not None:
                self.do(GetBlocks(self._untold))
            self._outputs()
            while self.scheduler.step is not None or self.scheduler.launched:
                self.do(StepEnds())
                self._outputs()
            for book in self._books(Phase.LOADING):
                self.do(CacheBlocks(book.name, book.computed))
            running = self._books(Phase.RUNNING)
            alone = self.rng.choice(running) if running else None
            for book in self._books(Phase.RUNNING):
                if book is not alone:
                    self._finish(book)
            if alone is not None:
                self._run_alone(alone)
                self._finish(alone)
            self.do(Reset())
            self._arrive()
            self.do(NewStep())
            self._admit(self.scheduler.books[self._live[-1]])
        except CaseOver:
            pass

    def _run_alone(self, book: Book) -> None:
        for _ in range(MOST_STEPS_ALONE):
            room = self.configuration.max_model_len - 1 - book.computed
            budget = self.configuration.max_num_batched_tokens or self.configuration.max_model_len
            new = min(book.unscheduled, room, budget)
            if self.care:
                new = self.care.known(book.computed, new)
            new = self._whole_states(book, book.computed, new)
            if new <= 0:
                return
            self.do(NewStep())
            granted = self.do(Allocate(book.name, book.computed, new)).blocks is not None
            self.do(StepEnds())
            if not granted:
                return
            self._outputs()

    def do(self, operation: Operation) -> Observation:
        """Perform a legal operation, and note it."""
        if len(self.operations) >= self.length:
            raise CaseOver
        violation = self.scheduler.violation(operation)
        assert violation is None, f"{operation}: {violation}"  # noqa: S101 - a defect of the generator
        self.operations.append(operation)
        observation = self._apply(operation)
        self.scheduler.record(operation, observation)
        return observation

    def _offer(self, operation: Operation) -> None:
        """Perform an operation that nothing depends on, unless this case stays clear of it."""
        if not self._avoids(operation):
            self.do(operation)

    def _books(self, phase: Phase) -> list[Book]:
        return [book for name in self._live if (book := self.scheduler.books[name]).phase is phase]

    def _step(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            if len(self._live) < MAX_LIVE:
                self._arrive()
        self.do(NewStep())
        self.budget = self.configuration.max_num_batched_tokens or self.configuration.max_model_len
        for book in self._books(Phase.RUNNING):
            if not book.due and book.phase is Phase.RUNNING and chance(rng, 0.92):
                self._run(book)
        for book in self._books(Phase.WAITING):
            if chance(rng, 0.85) and not self._admit(book):
                break
        if self.asynchronous and not self.scheduler.launched and chance(rng, 0.9):
            self._small_talk()
            return
        self.do(StepEnds())
        self._outputs()
        for book in self._books(Phase.LOADING):
            if not self.scheduler.is_in_flight(book) and chance(rng, 0.7):
                self._load(book)
        self._leave()
        self._small_talk()

    # Arrival

    def _arrive(self) -> None:
        operation = self.prompts.draw()
        name = operation.request
        self._answers[name] = self.rng.choice((1, 4, 12, 40))
        self.do(operation)
        self._live.append(name)

    # Scheduling

    def _admit(self, book: Book) -> bool:
        """Look up, and allocate at once. False if nothing more should be admitted in this step."""
        rng, name = self.rng, book.name
        if self.budget <= 0:
            return False
        lookup = Lookup(name, book.preemptions)
        if self._avoids(lookup):
            return True
        operation = self._admission(book, self.do(lookup).tokens or 0)
        if operation is None or self._avoids(operation):
            return True
        admitted = self.do(operation).blocks is not None
        if admitted:
            self.budget -= operation.new
            self._untold = name
            self.do(GetBlocks(name))
            self._untold = None
            return True
        return chance(rng, 0.2)

    def _admission(self, book: Book, hit: int) -> Allocate | None:
        """What is asked for a request with this hit, None if its states forbid any step now."""
        rng = self.rng
        rest = book.tokens - hit
        external, loads = self._external(hit, rest)
        new = 0
        if not loads:
            new = min(rest - external, self.budget)
            if new <= 0:
                external = self._loadable(hit, max(0, rest - 1), rest)
                new = 1
            if chance(rng, 0.3):
                new = rng.randint(1, new)
            new = self._whole_states(book, hit + external, new)
            if new <= 0:
                return None
        encoder = any(isinstance(g, CrossGroup) for g in self.configuration.groups)
        return Allocate(
            book.name,
            book.computed,
            new,
            hit=hit,
            lookahead=0 if loads else self._lookahead(),
            external=external,
            delay=loads,
            encoder=rng.randint(1, 3 * self.block) if encoder else 0,
            must_fit=self.gated and chance(rng, 0.7),
            reserved=self._reserved(),
        )

    def _external(self, hit: int, rest: int) -> tuple[int, bool]:
        """How many tokens a connector brings, and whether they arrive later [PROTO-3]."""
        rng = self.rng
        if not (self.connector and rest > 0 and chance(rng, 0.5)):
            return 0, False
        external = rng.choice((rest, rest // self.block * self.block, rng.randint(0, rest)))
        loads = external > 0 and chance(rng, 0.4)
        external = self._loadable(hit, external, rest)
        return external, loads and external > 0

    def _loadable(self, hit: int, wanted: int, rest: int) -> int:
        return self.care.external(hit, wanted, rest) if self.care else wanted

    def _run(self, book: Book) -> None:
        rng = self.rng
        room = min(self.budget, self.configuration.max_model_len - 1 - book.computed)
        new = min(book.unscheduled, room)
        if self.care:
            new = self.care.known(book.computed, new)
        if new <= 0:
            return
        if new == book.unscheduled and not (self.care and new > 1):
            new = min(new + rng.randint(0, self.scheduler.drafts), room)
        elif chance(rng, 0.2):
            new = rng.randint(1, new)
        new = self._whole_states(book, book.computed, new)
        if new <= 0:
            return
        operation = Allocate(
            book.name, book.computed, new, lookahead=self._lookahead(), reserved=self._reserved()
        )
        while not self._avoids(operation):
            if self.do(operation).blocks is not None:
                self.budget -= new
                return
            victims = [
                other
                for other in reversed(self._books(Phase.RUNNING))
                if not other.scheduled_now and not other.due
            ]
            if not victims or chance(rng, 0.1):
                return
            self._free(victims[0])
            if victims[0] is book:
                return

    def _whole_states(self, book: Book, computed: int, new: int) -> int:
        """Mamba's align mode wants steps that end on state boundaries [PROTO-8]."""
        sizes = [
            g.block_size for g in self.configuration.groups if isinstance(g, MambaGroup) and g.mode == "align"
        ]
        if not sizes or computed >= max(book.prompt, book.tokens - 1):
            return new
        size = max(sizes)
        if self.care and computed % size:
            return new
        last = book.tokens - book.tokens % size
        if self.configuration.use_eagle:
            last = max(last - size, 0)
        if computed + new < last:
            return new // size * size
        return last - computed if computed < last < computed + new else new

    def _lookahead(self) -> int:
        return self.rng.randint(0, 4) if self.varying_lookahead else self.lookahead

    def _reserved(self) -> int:
        return self.rng.randint(0, 6) if self.reserving and chance(self.rng, 0.5) else 0

    # Results

    def _outputs(self) -> None:
        rng = self.rng
        for book in [b for b in self._books(Phase.RUNNING) if b.due]:
            accepted = book.due if chance(rng, 0.5) else rng.randint(1, book.due)
            tokens = tuple(rng.randrange(VOCABULARY) for _ in range(accepted))
            self._answers[book.name] -= accepted
            self.do(AppendTokens(book.name, tokens))
            if self.asynchronous and chance(rng, 0.8):
                known = min(book.computed - book.expected, book.tokens)
                self.do(CacheBlocks(book.name, known))

    def _load(self, book: Book) -> None:
        """The load is done, or failed: altogether, or behind a valid prefix [PROTO-3]."""
        rng = self.rng
        keeps_all = all(isinstance(g, FullGroup | MLAGroup) for g in self.configuration.groups)
        if chance(rng, 0.15):
            self._free(book)
        elif keeps_all and chance(rng, 0.2):
            # A window's table has nulls before what was to be loaded: there the prefix is of no use.
            self.do(CacheBlocks(book.name, rng.randint(1, book.computed)))
        else:
            self.do(CacheBlocks(book.name, book.computed))

    def _leave(self) -> None:
        rng = self.rng
        for book in [*self._books(Phase.RUNNING), *self._books(Phase.WAITING)]:
            done = self._answers[book.name] <= 0 or book.tokens >= self.configuration.max_model_len - 1
            session = book.computed < book.tokens and book.phase is Phase.RUNNING
            if done and session and not self.asynchronous and self.prompts.extras and chance(rng, 0.3):
                self._continue(book)
            elif done or chance(rng, 0.03):
                self._finish(book)
            elif chance(rng, 0.02) and book.phase is Phase.RUNNING:
                self._free(book)

    def _continue(self, book: Book) -> None:
        rng = self.rng
        room = self.configuration.max_model_len - 2 - book.computed
        text = self.prompts.drawn[book.name]
        if room < 1 or text.embeds or self.scheduler.launched:
            self._finish(book)
            return
        tokens = tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(1, room)))
        operation = ContinueRequest(book.name, book.computed, tokens, self.prompts.items(len(tokens)))
        if self._avoids(operation):
            self._finish(book)
            return
        self._answers[book.name] = 3
        self.do(operation)

    def _finish(self, book: Book) -> None:
        if self.connector and chance(self.rng, 0.3):
            self._offer(RemoveSkipped(book.name, book.computed))
        self._free(book)
        self._live.remove(book.name)

    def _free(self, book: Book) -> None:
        self.do(Free(book.name))

    # Queries and upheavals

    def _small_talk(self) -> None:  # noqa: C901 - a list of oddities
        rng = self.rng
        if chance(rng, 0.5):
            self.do(rng.choice((TakeEvents, TakeNewBlockIds, TakeNewBlockIds, TakeStats))())
        if not chance(rng, self.chatty):
            return
        name = rng.choice(self._live) if self._live else "nobody"
        known = name in self.scheduler.books
        match rng.randrange(6):
            case 0 if known and self.scheduler.books[name].phase is Phase.RUNNING:
                # Of a request without a table the query would make one that counts from then on.
                self._offer(CommonPrefix(name))
            case 1 if known:
                self.do(GetBlocks(name))
            case 2:
                self.do(Reset())
            case 3:
                for book in self._books(Phase.RUNNING):
                    if not book.scheduled_now:
                        self._free(book)
                self.do(Reset())
            case 4:
                count = rng.randint(1, 4)
                blocks = {rng.randrange(1, self.configuration.num_blocks) for _ in range(count)}
                if self.configuration.num_blocks > 1:
                    self._offer(Evict(tuple(sorted(blocks))))
            case _ if known:
                self._offer(RemoveSkipped(name, self.scheduler.books[name].computed))
            case _:
                pass
