"""Makes the entries of a recording of what a recorder has noted, in the writer's thread.

A note is one of the methods here, and what it is given: a request, how many tokens it had at that time, and
what a call was asked and returned. Tokens that have come since a request was last told of are told first: they
are read now, which is right as tokens are only appended; where they are replaced, a copy of what was is read.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from invariants.view import View
from kvref.operations import Configuration, Item
from kvref.record.entries import Content
from kvref.record.told import ALLOCATE, RECORDER
from kvref.targets.session import stats_of
from kvref.targets.vllm.contents import Contents, Identities, snapshot_entry

ARRIVE, APPEND, CONTINUE, LOOK_UP, GROW, ADMIT, RELEASE, CACHE, SKIP, EVICTED, WAS_RESET = range(11)
STEP_BEGINS, STEP_HAS_RUN = 11, 12
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


class Before:
    """What is told of a session, as it was before its next input. Hashes stay, since more are only appended."""

    __slots__ = (
        *(
            "_all_token_ids",
            "block_hashes",
            "cache_salt",
            "lora_request",
            "mm_features",
            "num_computed_tokens",
        ),
        *("num_prompt_tokens", "prompt_embeds", "request_id", "skip_reading_prefix_cache"),
    )

    def __init__(self, session: Any) -> None:
        self._all_token_ids = session._all_token_ids.copy()  # noqa: SLF001 - no view of it is made
        self.block_hashes = session.block_hashes
        self.cache_salt = session.cache_salt
        self.lora_request = session.lora_request
        self.mm_features = list(session.mm_features or ())
        self.num_computed_tokens = session.num_computed_tokens
        self.num_prompt_tokens = session.num_prompt_tokens
        self.prompt_embeds = getattr(session, "prompt_embeds", None)
        self.request_id = session.request_id
        self.skip_reading_prefix_cache = session.skip_reading_prefix_cache


class Telling:
    """Makes entries, in the order of the notes. `fails` is called with a defect of ours, which ends them.

    `parameters` has the names of methods' parameters. With `blocks`, block ids are told.
    """

    def __init__(
        self,
        configuration: Configuration,
        tokens: Content,
        fails: Callable[[str], object],
        parameters: Mapping[str, Sequence[str]],
        *,
        blocks: bool,
    ) -> None:
        self._identities = Identities(configuration)
        self._contents = Contents(tokens, configuration.hash_block_size, self._identities)
        self._fails = fails
        self._parameters = parameters
        self._blocks = blocks
        self._books: dict[str, Book] = {}
        self._before: dict[int, deque[Any]] = {}
        """By the identity of a session: copies of it before each next input that is not told of yet."""
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

    def sampled(self, *noted: Any) -> None:
        """These requests are so long behind a step: requests first, then lengths.

        Most have sampled one token, and no block has become full: these are told together.
        """
        keeps, size, half = self._contents.keeps, self._contents.hash_block_size, len(noted) // 2
        numbers: list[int] = []
        tokens: list[int] = []
        for request, length in zip(noted[:half], noted[half:], strict=True):
            book = self._books.get(request.request_id)
            if book is None or book.request is not request or length == book.length:
                continue
            if length == book.length + 1 and (keeps or length % size):
                book.length = length
                numbers.append(book.number)
                if keeps:
                    tokens.append(self._as_it_was(request)._all_token_ids[length - 1])  # noqa: SLF001 - a view would cost more
            else:
                self._changed(book, length)
        if numbers:
            self._add((SAMPLED, numbers, tokens))

    def continues(self, session: Any) -> None:
        """A session's tokens are about to be replaced: keep what they are now.

        Called by the engine's thread, while no entries are made.
        """
        self._before.setdefault(id(session), deque()).append(Before(session))

    def continued(self, session: Any, computed: int, length: int) -> None:
        """A streaming session's tokens were replaced from `computed` on, as far as it had so many [Q-71]."""
        before = self._before.get(id(session))
        if before is not None:
            before.popleft()
            if not before:
                del self._before[id(session)]
        self._continued(session, computed, length)

    def _continued(self, session: Any, computed: int, length: int) -> None:
        book = self._books.get(session.request_id)
        if book is not None:
            kept, session = min(computed, book.length), self._as_it_was(session)
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

    def step_begins(self, _: None) -> None:
        """A step begins."""
        self._add((STEP_BEGINS,))

    def reset(self, done: Any) -> None:
        """A reset, and whether it was done."""
        self._add((WAS_RESET, bool(done)))

    def events_taken(self, count: int) -> None:
        """So many events were taken."""
        self._add((EVENTS_TAKEN, count))

    def new_ids_taken(self, ids: list[int] | None) -> None:
        """The ids of new blocks were taken."""
        self._add((NEW_IDS_TAKEN, ids))

    def stats_taken(self, stats: Any) -> None:
        """Statistics were taken."""
        self._add((STATS_TAKEN, stats_of(stats)))

    # Calls with arguments: what is kept of the result, then of the request, arguments, and those by name

    def evicted(self, _: None, *given: Any) -> None:
        """Blocks were evicted by hand."""
        blocks = self._given("evict_blocks", *given)[0]
        self._add((EVICTED, sorted(blocks)))

    def looked_up(self, found: Any, length: int, preemptions: int, *given: Any) -> None:
        """A lookup, and what it found: a hit, or a hit and blocks."""
        request = self._given("get_computed_blocks", *given)[0]
        self._looked_up = request
        hit, rows = (found[0], found[1:]) if self._blocks else (found, None)
        self._add((LOOK_UP, self.saw(request, length), preemptions, hit, self._ids(rows)))

    def allocated(
        self,
        appended: Any,
        length: int,
        computed: int,
        arguments: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        """An allocation, and what was appended, or whether anything was.

        What a running request asks, most calls, is told in fewer words.
        """
        given = dict(zip(self._parameters[ALLOCATE], arguments, strict=False), **named)
        request, new = given.pop("request"), given.pop("num_new_tokens")
        hit, found = given.pop("num_new_computed_tokens", 0), given.pop("new_computed_blocks", None)
        lookahead = given.pop("num_lookahead_tokens", 0)
        granted = appended is not None if self._blocks else bool(appended)
        ids = self._ids(appended.blocks if granted and self._blocks else None)
        number = self.saw(request, length)
        told = number, computed, new, lookahead, granted, ids
        if found is None and not given:
            self._add((GROW, *told))
        else:
            self._add(
                (
                    ADMIT,
                    *told,
                    hit if hit or self._looked_up is request else None,
                    given.get("num_external_computed_tokens", 0),
                    given.get("delay_cache_blocks", False),
                    given.get("num_encoder_tokens", 0),
                    given.get("full_sequence_must_fit", False),
                    given.get("reserved_blocks", 0),
                )
            )
        self._looked_up = None

    def freed(self, _: None, length: int, status: Any, *given: Any) -> None:
        """A request was freed; it will not come again if it is finished."""
        request = self._given("free", *given)[0]
        gone = type(status).is_finished(status)
        self._add((RELEASE, self.saw(request, length), gone))
        if gone:
            del self._books[request.request_id]

    def cached(self, _: None, length: int, __: None, *given: Any) -> None:
        """So many tokens were cached."""
        request, tokens = self._given("cache_blocks", *given)[:2]
        self._add((CACHE, self.saw(request, length), tokens))

    def skipped(self, _: None, *given: Any) -> None:
        """Blocks that so many computed tokens leave behind were released."""
        name, computed = self._given("remove_skipped_blocks", *given)[:2]
        if name in self._books:
            self._add((SKIP, self._books[name].number, computed))

    def prefix_asked(self, counts: Sequence[int], *given: Any) -> None:
        """What is common to all was asked."""
        name = self._given("get_num_common_prefix_blocks", *given)[0]
        if name in self._books:
            self._add((PREFIX_ASKED, self._books[name].number, counts))

    def tables_asked(self, tables: Rows | None, *given: Any) -> None:
        """A request's tables were asked."""
        name = self._given("get_blocks", *given)[0]
        if name in self._books:
            self._add((TABLES_ASKED, self._books[name].number, self._ids(tables)))

    def _given(self, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Sequence[Any]:
        """What a method was given, in the order of its parameters: a later release may have more of them."""
        if not named:
            return arguments
        given = dict(zip(self._parameters[method], arguments, strict=False), **named)
        return [given[name] for name in self._parameters[method] if name in given]

    # What it leads to

    def _as_it_was(self, request: Any) -> Any:
        """A request, or a copy of it as it was before its next input, of which is still to be told."""
        before = self._before.get(id(request)) if self._before else None
        return before[0] if before else request

    def _tell_arrival(self, book: Book, length: int) -> None:
        request = self._as_it_was(book.request)
        more: tuple[Any, ...] = (None, None, ())
        if self._contents.keeps:
            lora = request.lora_request
            name = lora.lora_name if lora is not None else None
            more = (request.cache_salt, name, _items(request.mm_features))
        book.length, book.prompt = length, request.num_prompt_tokens
        tokens, skips = self._contents.told(request, 0, length), request.skip_reading_prefix_cache
        self._add((ARRIVE, book.number, request.request_id, tokens, skips, *more, book.prompt))

    def _changed(self, book: Book, length: int) -> None:
        request = self._as_it_was(book.request)
        if request.num_prompt_tokens == book.prompt and length > book.length:
            self._add((APPEND, book.number, self._contents.told(request, book.length, length)))
            book.length = length
        else:
            self._continued(book.request, request.num_computed_tokens, length)

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
