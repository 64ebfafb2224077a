"""Makes the entries of a recording of what a recorder has noted, in the writer's thread.

A note is one of the methods here, and what it is given: a request, how many tokens it had at that time, and
what a call was asked and returned. Tokens that have come since a request was last told of are told first: they
are read now, which is right as tokens are only appended; where they are replaced, all notes are settled before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from invariants.view import View
from kvref.operations import Configuration, Item
from kvref.record.entries import Content
from kvref.record.told import RECORDER
from kvref.targets.session import stats_of
from kvref.targets.vllm.contents import Contents, Identities, snapshot_entry

ARRIVE, APPEND, CONTINUE, LOOK_UP, GROW, ADMIT, RELEASE, CACHE, SKIP, EVICTED, WAS_RESET = range(11)
EVENTS_TAKEN, NEW_IDS_TAKEN, STATS_TAKEN, PREFIX_ASKED, TABLES_ASKED, RAISED = range(13, 19)
RESUMES, SAMPLED, COST = range(20, 23)

Rows = Sequence[Sequence[Any]]
"""Blocks by group."""


class Book:
    """What was told of a request: its number, and how long it and its prompt were."""

    __slots__ = ("length", "number", "prompt", "request")

    def __init__(self, request: Any, number: int) -> None:
        self.request = request
        self.number = number
        self.length = 0
        self.prompt = 0


class Telling:
    """Makes entries, in the order of the notes. `fails` is called with a defect of ours, which ends them.

    With `blocks`, block ids are told.
    """

    def __init__(
        self, configuration: Configuration, tokens: Content, fails: Callable[[str], object], *, blocks: bool
    ) -> None:
        self._identities = Identities(configuration)
        self._contents = Contents(tokens, configuration.hash_block_size, self._identities)
        self._fails = fails
        self._blocks = blocks
        self._books: dict[str, Book] = {}
        self._arrived = 0
        self._looked_up: Any = None
        self._has_failed = False
        self._noted = 0
        self._add: Callable[[Any], object] = [].append

    def entries(self, notes: list[Any]) -> list[Any]:
        """The entries of some notes."""
        made: list[Any] = []
        if self._has_failed:
            return made
        self._add = made.append
        self._noted += len(notes)
        try:
            for note in notes:
                note[0](*note[1:])
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._has_failed = True
            why = f"a defect of the recorder: {type(defect).__name__}: {defect}"
            made.append((RAISED, why, RECORDER))
            self._fails(why)
        return made

    # What a note begins with

    def as_is(self, *entry: Any) -> None:
        """An entry that needs nothing."""
        self._add(entry)

    def cost(self, *measured: int) -> None:
        """What noting has cost so far."""
        self._add((COST, self._noted, *measured))

    def saw(self, request: Any, length: int) -> int:
        """A request is so long: tell what is new of it; its number."""
        book = self._books.get(request.request_id)
        if book is None or book.request is not request:
            book = self._books[request.request_id] = Book(request, self._arrived)
            self._arrived += 1
            self._tell_arrival(book, length)
        elif length != book.length:
            self._changed(book, length)
        return book.number

    def sampled(self, requests: list[Any], lengths: list[int]) -> None:
        """These requests are so long behind a step.

        Most have sampled one token, and no block has become full: these are told together.
        """
        keeps, size = self._contents.keeps, self._contents.hash_block_size
        numbers: list[int] = []
        tokens: list[int] = []
        for request, length in zip(requests, lengths, strict=True):
            book = self._books.get(request.request_id)
            if book is None or book.request is not request or length == book.length:
                continue
            if length == book.length + 1 and (keeps or length % size):
                book.length = length
                numbers.append(book.number)
                if keeps:
                    tokens.append(request._all_token_ids[length - 1])  # noqa: SLF001 - a view would cost more
            else:
                self._changed(book, length)
        if numbers:
            self._add((SAMPLED, numbers, tokens))

    def continued(self, session: Any, computed: int, length: int) -> None:
        """A streaming session's tokens were replaced from `computed` on, as far as it had so many [Q-71]."""
        book = self._books.get(session.request_id)
        if book is not None:
            kept = min(computed, book.length)
            items = _items(session.mm_features, first=kept) if self._contents.keeps else ()
            self._add((CONTINUE, book.number, kept, self._contents.told(session, kept, length), items))
            book.length, book.prompt = length, session.num_prompt_tokens

    def resumed(self, view: View) -> None:
        """All is told anew: the requests that were seen and have not gone, and the state."""
        self._add((RESUMES,))
        for book in self._books.values():
            self._tell_arrival(book, book.length)
        self.snapshot(view)

    def snapshot(self, view: View) -> None:
        """The state."""
        live = [self._books[name].number for name in view.tables]
        self._add(snapshot_entry(view, live, self._identities))

    def reset(self, done: Any) -> None:
        """A reset, and whether it was done."""
        self._add((WAS_RESET, bool(done)))

    def events_taken(self, events: Sequence[Any]) -> None:
        """Events were taken."""
        self._add((EVENTS_TAKEN, len(events)))

    def new_ids_taken(self, ids: list[int]) -> None:
        """The ids of new blocks were taken."""
        self._add((NEW_IDS_TAKEN, ids if self._blocks else None))

    def stats_taken(self, stats: Any) -> None:
        """Statistics were taken."""
        self._add((STATS_TAKEN, stats_of(stats)))

    def evicted(self, blocks: tuple[int, ...]) -> None:
        """Blocks were evicted by hand."""
        self._add((EVICTED, sorted(blocks)))

    def looked_up(self, request: Any, length: int, preemptions: int, hit: int, found: Rows | None) -> None:
        """A lookup, and what it found."""
        self._looked_up = request
        self._add((LOOK_UP, self.saw(request, length), preemptions, hit, self._ids(found)))

    def grew(self, request: Any, length: int, computed: int, appended: Any, new: int, lookahead: int) -> None:
        """An allocation for a running request: most calls. `appended` is as it was returned."""
        granted = appended is not None
        ids = self._ids(appended.blocks if granted else None)
        self._add((GROW, self.saw(request, length), computed, new, lookahead, granted, ids))
        self._looked_up = None

    def admitted(
        self,
        request: Any,
        length: int,
        computed: int,
        appended: Any,
        new: int,
        lookahead: int,
        hit: int,
        options: tuple[str, ...],
        more: tuple[Any, ...],
        rest: dict[str, Any],
    ) -> None:
        """Any other allocation; `more` are the first of its `options`, and `rest` others."""
        given = rest | dict(zip(options, more, strict=False))
        granted = appended is not None
        uses = hit if hit or self._looked_up is request else None
        self._looked_up = None
        number, ids = self.saw(request, length), self._ids(appended.blocks if granted else None)
        self._add(
            (
                ADMIT,
                *(number, computed, new, lookahead, granted, ids, uses),
                given.get("num_external_computed_tokens", 0),
                given.get("delay_cache_blocks", False),
                given.get("num_encoder_tokens", 0),
                given.get("full_sequence_must_fit", False),
                given.get("reserved_blocks", 0),
            )
        )

    def freed(self, request: Any, length: int, gone: bool) -> None:
        """A request was freed; `gone` if it will not come again."""
        self._add((RELEASE, self.saw(request, length), gone))
        if gone:
            del self._books[request.request_id]

    def cached(self, request: Any, length: int, tokens: int) -> None:
        """So many tokens were cached."""
        self._add((CACHE, self.saw(request, length), tokens))

    def skipped(self, name: str, computed: int) -> None:
        """Blocks that so many computed tokens leave behind were released."""
        if name in self._books:
            self._add((SKIP, self._books[name].number, computed))

    def prefix_asked(self, name: str, counts: Sequence[int]) -> None:
        """What is common to all was asked."""
        if name in self._books:
            self._add((PREFIX_ASKED, self._books[name].number, counts))

    def tables_asked(self, name: str, tables: Rows | None) -> None:
        """A request's tables were asked."""
        if name in self._books:
            self._add((TABLES_ASKED, self._books[name].number, self._ids(tables)))

    # What it leads to

    def _tell_arrival(self, book: Book, length: int) -> None:
        request = book.request
        more: tuple[Any, ...] = (None, None, ())
        if self._contents.keeps:
            lora = request.lora_request
            name = lora.lora_name if lora is not None else None
            more = (request.cache_salt, name, _items(request.mm_features))
        book.length, book.prompt = length, request.num_prompt_tokens
        tokens, skips = self._contents.told(request, 0, length), request.skip_reading_prefix_cache
        self._add((ARRIVE, book.number, request.request_id, tokens, skips, *more, book.prompt))

    def _changed(self, book: Book, length: int) -> None:
        request = book.request
        if request.num_prompt_tokens == book.prompt and length > book.length:
            self._add((APPEND, book.number, self._contents.told(request, book.length, length)))
            book.length = length
        else:
            self.continued(request, request.num_computed_tokens, length)

    def _ids(self, rows: Rows | None) -> list[list[int]] | None:
        if rows is None or not self._blocks:
            return None
        return [[block.block_id for block in row] for row in rows]


def _items(features: Any, first: int = 0) -> tuple[Item, ...]:
    """Multimodal items that begin behind `first`, their offsets told from there."""
    return tuple(
        Item(one.identifier, one.mm_position.offset - first, one.mm_position.length)
        for one in features or ()
        if one.mm_position.offset >= first
    )
