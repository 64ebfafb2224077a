"""The alphabet of the small scope: what may happen next, all of it.

A move is one operation, or two that belong together: an admission is a lookup and the allocation that uses
it, and a request that leaves is freed and forgotten, so that its name's place is free for another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from kvref.fuzz.legal import Legal
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Evict,
    Free,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    Reset,
    StepEnds,
)
from kvref.protocol import Book, Phase


@dataclass(frozen=True)
class Scope:
    """How far the check goes: requests alive at once, tokens a request, token values, drafts a step.

    `by_hand` adds evictions of single blocks by hand, and resets.
    """

    configuration: Configuration
    requests: int = 2
    tokens: int = 4
    letters: int = 2
    drafts: int = 0
    by_hand: bool = True


@dataclass(frozen=True)
class Admit:
    """Look a waiting request up, and schedule its tokens up to `until`, hit ones included."""

    request: str
    until: int


@dataclass(frozen=True)
class Leave:
    """A request ends, or is aborted: it is freed, and never comes again."""

    request: str


Move = Operation | Admit | Leave


def moves(scope: Scope, legal: Legal, arrivals: int) -> Iterator[Move]:
    """All that may come next, in a fixed order. `arrivals` requests have come so far.

    An admission may turn out to be none, if more is hit than it asks for.
    """
    books = legal.scheduler.books
    candidates: list[Move] = [NewStep(), StepEnds()]
    if len(books) < scope.requests:
        name = f"r{arrivals}"
        lengths = range(1, scope.tokens)
        candidates += [
            NewRequest(name, tokens) for n in lengths for tokens in product(range(scope.letters), repeat=n)
        ]
    for book in books.values():
        candidates += _of_request(scope, book)
    if scope.by_hand:
        candidates.append(Reset())
        candidates += [Evict((block,)) for block in range(1, scope.configuration.num_blocks)]
    for move in candidates:
        if isinstance(move, Admit):
            if legal.scheduler.step is not None:
                yield move
        elif isinstance(move, Leave):
            if legal.fit(Free(move.request)) is not None:
                yield move
        elif legal.fit(move) == move:
            yield move


def _of_request(scope: Scope, book: Book) -> Iterator[Move]:
    """What may happen to a request that is there."""
    name = book.name
    yield Leave(name)
    if book.phase is Phase.WAITING:
        yield from (Admit(name, until) for until in range(1, book.tokens + 1))
        return
    yield Free(name)
    for accepted in range(1, book.due + 1):
        yield from (AppendTokens(name, t) for t in product(range(scope.letters), repeat=accepted))
    room = scope.configuration.max_model_len - 1 - book.computed
    for new in range(1, min(book.unscheduled + scope.drafts, room) + 1):
        yield Allocate(name, book.computed, new, lookahead=scope.drafts)


def admission(legal: Legal, move: Admit, hit: int) -> Allocate | None:
    """The allocation of an admission that hit `hit` tokens; None if a legal scheduler would not ask so."""
    wanted = Allocate(move.request, 0, move.until - hit, hit=hit)
    return wanted if wanted.new > 0 and legal.fit(wanted) == wanted else None


def lookup(legal: Legal, move: Admit) -> Lookup:
    """The lookup of an admission."""
    return Lookup(move.request, legal.scheduler.books[move.request].preemptions)
