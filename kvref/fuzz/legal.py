"""What a scheduler may do next, and how an operation of another history is fitted into this one.

A trace from which operations were taken is seldom legal as it stands: hits get shorter, requests have
computed less. `Legal.fit` changes the numbers that follow from the manager's answers, and nothing else.
"""

from collections.abc import Sequence
from typing import Final, Literal, final

import msgspec

from kvref.fuzz.care import Care
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    CrossGroup,
    Evict,
    FullGroup,
    Lookup,
    MambaGroup,
    MLAGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    StepEnds,
)
from kvref.protocol import Book, Phase, Scheduler

MOST_DRAFTS = 4

Manners = Literal["careful", "usual", "lawful"]
"""How a scheduler goes on. A lawful one does what `kvref.protocol` allows; the usual one leaves room for an
output, verifies few drafts and ends prefills where states end [PROTO-8]; a careful one keeps `Care`, too."""

MANNERS: Final[tuple[Manners, ...]] = ("careful", "usual", "lawful")


def is_asynchronous(operations: Sequence[Operation]) -> bool:
    """Whether a step is scheduled while another one has not run [PROTO-12]."""
    flying = 0
    for operation in operations:
        if isinstance(operation, NewStep):
            flying += 1
        elif isinstance(operation, StepEnds):
            flying -= 1
        if flying > 1:
            return True
    return False


@final
class Legal:
    """A scheduler's book, over the operations that were performed so far."""

    def __init__(
        self, configuration: Configuration, *, asynchronous: bool, manners: Manners = "careful"
    ) -> None:
        self._configuration: Final = configuration
        self._care: Final = Care(configuration) if manners == "careful" else None
        self._lawful: Final = manners == "lawful"
        groups = configuration.groups
        aligned = [g.block_size for g in groups if isinstance(g, MambaGroup) and g.mode == "align"]
        self._aligned: Final = max(aligned, default=0)
        self._loads_in_part: Final = all(isinstance(g, FullGroup | MLAGroup) for g in groups)
        self._has_encoder: Final = any(isinstance(g, CrossGroup) for g in groups)
        drafts = configuration.max_model_len if self._lawful else MOST_DRAFTS
        if self._care is not None:
            drafts = self._care.drafts(drafts, asynchronous=asynchronous)
        self.scheduler: Final = Scheduler(configuration.max_model_len, drafts)
        self._left = 0
        """Tokens that may still be scheduled in this step."""

    def book(self, operation: Operation) -> Book | None:
        """What is known of the operation's request; None if there is none."""
        return self.scheduler.books.get(getattr(operation, "request", ""))

    def is_admission(self, operation: Operation) -> bool:
        """Whether the operation asks for a request's first blocks."""
        if not isinstance(operation, Allocate):
            return False
        return self.scheduler.books[operation.request].phase is Phase.WAITING

    def record(self, operation: Operation, observation: Observation) -> None:
        """Note that `operation` was performed and returned `observation`."""
        self.scheduler.record(operation, observation)
        if isinstance(operation, NewStep):
            limit = self._configuration.max_num_batched_tokens
            self._left = 10**9 if limit is None else limit
        elif isinstance(operation, Allocate) and observation.blocks is not None:
            self._left -= operation.new

    def fit(self, operation: Operation) -> Operation | None:
        """The operation as it may come next; None if it may not."""
        name = getattr(operation, "request", None)
        book = self.book(operation)
        fitted: Operation | None = operation
        if isinstance(operation, NewRequest):
            fitted = self._arrival(operation)
        elif isinstance(operation, Evict):
            blocks = tuple(b for b in operation.blocks if b < self._configuration.num_blocks)
            fitted = Evict(blocks) if blocks else None
        elif name is not None:
            fitted = None if book is None else self._fit_to(operation, book)
        if fitted is None or self.scheduler.violation(fitted) is not None:
            return None
        return fitted

    def _arrival(self, operation: NewRequest) -> NewRequest | None:
        longest = self._configuration.max_model_len - (not self._lawful)
        if longest < 1 or len(operation.tokens) <= longest:
            return operation if longest > 0 and operation.tokens else None
        items = tuple(item for item in operation.items if item.offset + item.length <= longest)
        embeds = operation.embeds and operation.embeds[: 4 * longest]
        return msgspec.structs.replace(
            operation, tokens=operation.tokens[:longest], items=items, embeds=embeds
        )

    def _fit_to(self, operation: Operation, book: Book) -> Operation | None:  # noqa: PLR0911 - one a kind
        match operation:
            case Lookup(request=name):
                return Lookup(name, book.preemptions)
            case Allocate() if book.phase is Phase.WAITING:
                return self._admission(operation, book)
            case Allocate():
                return self._allocation(operation, book)
            case AppendTokens(request=name, tokens=tokens):
                return AppendTokens(name, tokens[: book.due])
            case CacheBlocks(request=name, tokens=valid):
                if book.phase is Phase.LOADING:
                    part = self._loads_in_part and 1 <= valid < book.computed
                    return CacheBlocks(name, valid if part else book.computed)
                known = min(book.computed - book.expected, book.tokens)
                return CacheBlocks(name, min(valid, known))
            case RemoveSkipped(request=name, tokens=tokens):
                return RemoveSkipped(name, min(tokens, book.computed))
            case ContinueRequest(tokens=tokens):
                room = self._configuration.max_model_len - 2 - book.computed
                fitted = msgspec.structs.replace(operation, computed=book.computed, tokens=tokens[:room])
                return fitted if room > 0 and len(tokens) <= room else None
            case CommonPrefix():
                return operation if book.phase is Phase.RUNNING else None
            case _:
                return operation

    def _admission(self, operation: Allocate, book: Book) -> Allocate | None:
        """Its end is kept where it can be, whatever was hit."""
        end = min((operation.hit or 0) + operation.external + operation.new, book.tokens)
        found = self.scheduler.found
        uses = operation.hit is not None and found is not None and found[0] == book.name
        hit = found[1] if uses and found is not None else None
        start = hit or 0
        wanted = min(operation.external, end - start - (not operation.delay))
        external = max(0, wanted)
        if self._care is not None:
            external = self._care.external(start, external, book.tokens - start)
        new = 0 if operation.delay else min(end - start - external, self._left)
        new = self._whole_states(book, start + external, new)
        if start < 0 or (new <= 0 and not (operation.delay and external)):
            return None
        return msgspec.structs.replace(
            operation,
            computed=book.computed,
            new=new,
            hit=hit,
            external=external,
            encoder=operation.encoder if self._has_encoder else 0,
        )

    def _allocation(self, operation: Allocate, book: Book) -> Allocate | None:
        room = min(self._left, self._configuration.max_model_len - 1 - book.computed)
        known = min(operation.new, book.unscheduled)
        if self._care is not None:
            known = self._care.known(book.computed, known)
        # A careful scheduler drafts behind a single token.
        is_end = known == book.unscheduled and (self._care is None or known == 1)
        drafts = self.scheduler.drafts if is_end else 0
        new = min(known + drafts, operation.new, room)
        new = self._whole_states(book, book.computed, new)
        if new <= 0:
            return None
        return Allocate(
            book.name, book.computed, new, lookahead=operation.lookahead, reserved=operation.reserved
        )

    def _whole_states(self, book: Book, computed: int, new: int) -> int:
        """A prompt that is cut ends its steps where states end [PROTO-8]."""
        size = self._aligned
        if not size or self._lawful or computed >= max(book.prompt, book.tokens - 1):
            return new
        if self._care is not None and computed % size:
            return new
        last = book.tokens - book.tokens % size
        if self._configuration.use_eagle:
            last = max(last - size, 0)
        if computed + new < last:
            return new // size * size
        return last - computed if computed < last else new
