"""The alphabet of the small scope: what may happen next, all of it.

A move is one operation. Where several differ in names alone, one of them stands for all: a request takes the
first name that is free, and of the token values that nobody has the least one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    Configuration,
    CrossGroup,
    Evict,
    Free,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
)
from kvref.protocol import Book, Phase, Scheduler


@dataclass(frozen=True)
class Scope:
    """How far the check goes: requests alive at once, tokens a request, token values, drafts a step.

    `by_hand` adds evictions of single blocks by hand, and resets; `connector` adds loads of external tokens;
    `asynchronous` adds steps that are scheduled while another one runs [PROTO-12]. Without `chunked_prefill` a
    prompt is computed in one step.
    """

    configuration: Configuration
    requests: int = 2
    tokens: int = 4
    letters: int = 2
    drafts: int = 0
    by_hand: bool = True
    connector: bool = False
    asynchronous: bool = False
    chunked_prefill: bool = True

    @property
    def encoder(self) -> int:
        """The encoder's tokens of each request: they fill a block and begin another."""
        sizes = [g.block_size for g in self.configuration.groups if isinstance(g, CrossGroup)]
        return max(sizes) + 1 if sizes else 0


@dataclass(frozen=True)
class Leave:
    """A request ends, or is aborted: it is freed, and never comes again."""

    request: str


Move = Operation | Leave


def operation_of(move: Move) -> Operation:
    """What the managers are asked."""
    return Free(move.request) if isinstance(move, Leave) else move


def moves(scope: Scope, scheduler: Scheduler, letters: frozenset[int]) -> Iterator[Move]:
    """All that may come next, in a fixed order, where `letters` are the token values that are there.

    Behind a lookup that hit something only its use comes next: all else is what may happen without it.
    """
    found = found_by(scheduler)
    if found is not None:
        candidates = _uses(scope, scheduler.books[found[0]], found[1])
    else:
        candidates = _all(scope, scheduler, letters)
    for move in candidates:
        if scheduler.violation(operation_of(move)) is None:
            yield move


def found_by(scheduler: Scheduler) -> tuple[str, int] | None:
    """The request that was looked up right before, and the tokens that it hit, if that can be of use now."""
    found = scheduler.found
    return found if found is not None and found[1] and scheduler.step is not None else None


def _all(scope: Scope, scheduler: Scheduler, letters: frozenset[int]) -> Iterator[Move]:
    books = scheduler.books
    if scope.asynchronous or (scheduler.step is None and not scheduler.launched):
        yield NewStep()
    yield StepEnds()
    if len(books) < scope.requests:
        name = next(name for number in count() if (name := f"r{number}") not in books)
        for length in range(1, scope.tokens):
            yield from (NewRequest(name, tokens) for tokens in _texts(scope, letters, length))
    for book in books.values():
        yield from _of_request(scope, book, letters)
    if scope.by_hand:
        yield Reset()
        yield from (Evict((block,)) for block in range(1, scope.configuration.num_blocks))


def _of_request(scope: Scope, book: Book, letters: frozenset[int]) -> Iterator[Move]:
    """What may happen to a request that is there."""
    name = book.name
    yield Leave(name)
    if book.phase is Phase.WAITING:
        yield Lookup(name, book.preemptions)
        yield from _admissions(scope, book, None)
        return
    yield Free(name)
    if book.phase is Phase.LOADING:
        yield CacheBlocks(name, book.computed)
        return
    yield CommonPrefix(name)
    for accepted in range(1, book.due + 1):
        yield from (AppendTokens(name, tokens) for tokens in _texts(scope, letters, accepted))
    if not book.due:
        yield RemoveSkipped(name, book.computed)
    room = scope.configuration.max_model_len - 1 - book.computed
    for new in range(1, min(book.unscheduled + scope.drafts, room) + 1):
        yield Allocate(name, book.computed, new, lookahead=scope.drafts)


def _uses(scope: Scope, book: Book, hit: int) -> Iterator[Move]:
    """What a hit is looked up for."""
    if book.phase is Phase.WAITING:
        yield from _admissions(scope, book, hit)


def _admissions(scope: Scope, book: Book, hit: int | None) -> Iterator[Allocate]:
    """A request's first blocks: for any part of what is left of it, or for all, whatever else must fit."""
    start = hit or 0
    for external in range((book.tokens - start) * scope.connector + 1):
        begun = start + external
        least = begun + 1 if scope.chunked_prefill else max(begun + 1, book.tokens)
        for until in range(least, book.tokens + 1):
            for must_fit in (False, True):
                yield Allocate(
                    book.name,
                    0,
                    until - begun,
                    hit=hit,
                    lookahead=scope.drafts,
                    external=external,
                    encoder=scope.encoder,
                    must_fit=must_fit,
                )
        if external:
            yield Allocate(book.name, 0, 0, hit=hit, external=external, delay=True, encoder=scope.encoder)


def _texts(scope: Scope, letters: frozenset[int], length: int) -> Iterator[tuple[int, ...]]:
    """Token values, so many, but for those that differ in the names of new values alone."""
    if not length:
        yield ()
        return
    for tokens in _texts(scope, letters, length - 1):
        known = letters.union(tokens)
        fresh = next(letter for letter in count() if letter not in known)
        yield from (
            (*tokens, letter) for letter in range(scope.letters) if letter in known or letter == fresh
        )
