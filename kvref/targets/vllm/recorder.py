"""Notes every call to a live vLLM manager, and what it returned, as the entries of a recording.

The methods of one manager object are wrapped; nothing of vLLM is replaced. A wrapper calls the method as it
was called, and notes afterwards what came of it. The requests, which the manager only reads, are looked at
whenever they are seen: tokens that have come since, or were replaced, are noted before the call. A defect of
this module ends the recording, and nothing else.
"""

import logging
from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

from kvref.operations import Configuration, Item
from kvref.record.entries import Content
from kvref.record.told import ALLOCATE, RECORDER
from kvref.targets.session import stats_of
from kvref.targets.vllm.late import Contents, Identities, LateIds, LateSnapshot
from kvref.targets.vllm.pictured import view_of

ARRIVE, APPEND, CONTINUE, LOOK_UP, GROW, ADMIT, RELEASE, CACHE, SKIP, EVICTED, WAS_RESET = range(11)
STEP_BEGINS, STEP_HAS_RUN, EVENTS_TAKEN, NEW_IDS_TAKEN, STATS_TAKEN, PREFIX_ASKED, TABLES_ASKED, RAISED = (
    range(11, 19)
)
RESUMES, SAMPLED = 20, 21

MARK = "_kvref_recorders"


Note = Callable[[Any], object]

logger = logging.getLogger("vllm.kvref")


def recorders_of(manager: Any) -> "list[Recorder]":
    """The recorders that were put on a manager."""
    recorders: list[Recorder] = getattr(manager, MARK, [])
    return recorders


class Book:
    """What was seen of a request: its number, and how long it and its prompt were."""

    __slots__ = ("length", "number", "prompt", "request", "tokens")

    def __init__(self, request: Any, number: int) -> None:
        self.request = request
        # Every call looks here: a property would cost more.
        self.tokens: list[int] = request._all_token_ids  # noqa: SLF001
        self.number = number
        self.length = request.num_tokens
        self.prompt = request.num_prompt_tokens


class Recorder:
    """Wraps a manager's methods from its first call on.

    `note` takes the entries, as tuples, and `ends` the reason why there will be no more. With `blocks`, block ids and all else that is returned is noted, too; with `snapshots`, the state at the
    beginning of every so many steps.
    """

    def __init__(
        self,
        manager: Any,
        configuration: Configuration,
        note: Note,
        ends: Callable[[str], object] = logger.warning,
        *,
        tokens: Content = "keep",
        blocks: bool = True,
        snapshots: int | None = None,
    ) -> None:
        self.manager = manager
        self.configuration = configuration
        self._note = note
        self._ends = ends
        self._identities = Identities(configuration)
        self._contents = Contents(tokens, configuration.hash_block_size, self._identities)
        self._blocks = blocks
        self._nothing: Any = tuple(() for _ in configuration.groups) if blocks else None
        self._snapshots = snapshots
        self._steps = 0
        self._books: dict[str, Book] = {}
        self._arrived = 0
        self._looked_up: Any = None
        self.is_to_resume = False
        """Set by another thread, which wants all to be told anew at the next step."""
        self._wrapped = {ALLOCATE: manager.allocate_slots, "cache_blocks": manager.cache_blocks}
        manager.allocate_slots = self._around_allocating(manager.allocate_slots)
        manager.cache_blocks = self._around_caching(manager.cache_blocks)
        for name, tell in self._tellers().items():
            if hasattr(manager, name):
                self._wrapped[name] = getattr(manager, name)
                setattr(manager, name, self._around(name, self._wrapped[name], tell))
        vars(manager).setdefault(MARK, []).append(self)

    # What does not come from the manager

    def step_has_run(self) -> None:
        """The results of the oldest launched step have come."""
        self._note((STEP_HAS_RUN,))

    def see(self, request: Any) -> int:
        """Note what is new of a request; its number."""
        book = self._books.get(request.request_id)
        if book is None or book.request is not request:
            return self._arrive(request)
        if len(book.tokens) != book.length:
            self._changed(book, request)
        return book.number

    def see_all(self, names: Iterable[str]) -> None:
        """Note what is new of these requests, as far as they were seen before and are still there.

        Most have sampled one token, and no block has become full: these are noted together.
        """
        books, keeps, size = self._books, self._contents.keeps, self._contents.hash_block_size
        numbers: list[int] = []
        sampled: list[int] = []
        try:
            for name in names:
                book = books.get(name)
                if book is None:
                    continue
                length = len(book.tokens)
                if length == book.length:
                    continue
                if length == book.length + 1 and (keeps or length % size):
                    book.length = length
                    numbers.append(book.number)
                    if keeps:
                        sampled.append(book.tokens[-1])
                else:
                    self._changed(book, book.request)
            if numbers:
                self._note((SAMPLED, numbers, sampled))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    def continued(self, session: Any) -> None:
        """A streaming session was given its next input."""
        try:
            book = self._books.get(session.request_id)
            if book is not None:
                self._changed(book, session, anew=True)
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    def _resume(self) -> None:
        """Tell all anew: the requests that were seen and have not gone, and the state."""
        self.is_to_resume = False
        self._note((RESUMES,))
        for book in self._books.values():
            book.length, book.prompt = book.request.num_tokens, book.request.num_prompt_tokens
            self._tell_arrival(book, book.request)
        self.snapshot()

    def _arrive(self, request: Any) -> int:
        book = Book(request, self._arrived)
        self._arrived += 1
        self._books[request.request_id] = book
        self._tell_arrival(book, request)
        return book.number

    def _tell_arrival(self, book: Book, request: Any) -> None:
        more: tuple[Any, ...] = (None, None, ())
        if self._contents.keeps:
            lora = request.lora_request
            name = lora.lora_name if lora is not None else None
            more = (request.cache_salt, name, _items(request.mm_features))
        tokens = self._contents.late(request, 0)
        skips = request.skip_reading_prefix_cache
        self._note((ARRIVE, book.number, request.request_id, tokens, skips, *more, book.prompt))

    def _changed(self, book: Book, request: Any, *, anew: bool = False) -> None:
        length = request.num_tokens
        if not anew and request.num_prompt_tokens == book.prompt and length > book.length:
            self._note((APPEND, book.number, self._contents.late(request, book.length)))
        else:
            computed = request.num_computed_tokens
            items = _items(request.mm_features, first=computed) if self._contents.keeps else ()
            self._note((CONTINUE, book.number, computed, self._contents.late(request, computed), items))
        book.length, book.prompt = length, request.num_prompt_tokens

    # Wrappers

    def _around(
        self, name: str, method: Callable[..., Any], tell: Callable[..., object]
    ) -> Callable[..., Any]:
        """The method, and behind it what tells of it, given the result and the arguments."""

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                result = method(*arguments, **named)
            except Exception as error:
                self._raised(name, error)
                raise
            try:
                tell(result, *arguments, **named)
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                self._give_up(defect)
            return result

        return call

    def _around_allocating(self, allocate: Callable[..., Any]) -> Callable[..., Any]:
        """Around `allocate_slots`, the most frequent call: what a running request asks is told here."""
        note, books, nothing, shows = self._note, self._books, self._nothing, self._blocks
        empty = self.manager.empty_kv_cache_blocks
        further = tuple(signature(allocate).parameters)[5:]

        def allocate_slots(
            request: Any,
            num_new_tokens: int,
            num_new_computed_tokens: int = 0,
            new_computed_blocks: Any = None,
            num_lookahead_tokens: int = 0,
            *more: Any,
            **rest: Any,
        ) -> Any:
            hits = num_new_computed_tokens, new_computed_blocks
            try:
                if more or rest:
                    blocks = allocate(request, num_new_tokens, *hits, num_lookahead_tokens, *more, **rest)
                else:  # most calls: nothing is unpacked
                    blocks = allocate(
                        request,
                        num_new_tokens,
                        num_new_computed_tokens,
                        new_computed_blocks,
                        num_lookahead_tokens,
                    )
            except Exception as error:
                given = (num_new_tokens, num_lookahead_tokens, *hits, rest | dict(zip(further, more)))  # noqa: B905
                self._told_allocation(None, request, *given)
                self._raised(ALLOCATE, error)
                raise
            try:
                book = books.get(request.request_id)
                if (
                    book is not None
                    and new_computed_blocks is None
                    and not rest
                    and not more
                    and len(book.tokens) == book.length
                ):
                    if blocks is empty:
                        shown = nothing
                    else:
                        shown = LateIds(blocks) if shows and blocks is not None else None
                    number, granted = book.number, blocks is not None
                    computed = request.num_computed_tokens
                    note((GROW, number, computed, num_new_tokens, num_lookahead_tokens, granted, shown))
                else:
                    given = (num_new_tokens, num_lookahead_tokens, *hits, rest | dict(zip(further, more)))  # noqa: B905
                    self._told_allocation(blocks, request, *given)
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                self._give_up(defect)
            return blocks

        return allocate_slots

    def _told_allocation(
        self, blocks: Any, request: Any, new: int, lookahead: int, hit: int, found: Any, given: dict[str, Any]
    ) -> None:
        number = self.see(request)
        looked_up, self._looked_up = self._looked_up, None
        entry = (number, request.num_computed_tokens, new, lookahead, blocks is not None, self._shown(blocks))
        if found is None and not given:
            self._note((GROW, *entry))
            return
        uses = hit if hit or looked_up is request else None
        self._note(
            (
                ADMIT,
                *entry,
                uses,
                given.get("num_external_computed_tokens", 0),
                given.get("delay_cache_blocks", False),
                given.get("num_encoder_tokens", 0),
                given.get("full_sequence_must_fit", False),
                given.get("reserved_blocks", 0),
            )
        )

    def _around_caching(self, cache: Callable[..., Any]) -> Callable[..., Any]:
        """Around `cache_blocks`: every output of an asynchronous scheduler comes by."""
        note, see = self._note, self.see

        def cache_blocks(request: Any, num_computed_tokens: int) -> None:
            try:
                cache(request, num_computed_tokens)
            except Exception as error:
                self._raised("cache_blocks", error)
                raise
            try:
                note((CACHE, see(request), num_computed_tokens))
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                self._give_up(defect)

        return cache_blocks

    def _tellers(self) -> dict[str, Callable[..., object]]:  # noqa: C901 - one a method
        """What tells of the methods that are called less often, by name."""
        note, see, shown, books = self._note, self.see, self._shown, self._books

        def looked_up(found: Any, request: Any, *_: Any, **__: Any) -> None:
            self._looked_up = request
            note((LOOK_UP, see(request), request.num_preemptions, found[1], shown(found[0])))

        def freed(_: Any, request: Any) -> None:
            gone = request.is_finished()
            note((RELEASE, see(request), gone))
            if gone:
                del books[request.request_id]

        def skipped(_: Any, request_id: str, *computed: int, **named: int) -> None:
            if request_id in books:
                note((SKIP, books[request_id].number, [*computed, *named.values()][0]))

        def begun(_: Any) -> None:
            note((STEP_BEGINS,))
            self._steps += 1
            if self.is_to_resume:
                self._resume()
            elif self._snapshots is not None and self._steps % self._snapshots == 0:
                self.snapshot()

        def prefix_asked(counts: Any, running_request_id: str) -> None:
            if running_request_id in books:
                note((PREFIX_ASKED, books[running_request_id].number, tuple(counts)))

        def tables_asked(blocks: Any, request_id: str) -> None:
            if request_id in books:
                note((TABLES_ASKED, books[request_id].number, shown(blocks)))

        return {
            "get_computed_blocks": looked_up,
            "free": freed,
            "remove_skipped_blocks": skipped,
            "evict_blocks": lambda _, block_ids: note((EVICTED, tuple(sorted(block_ids)))),
            "reset_prefix_cache": lambda done: note((WAS_RESET, bool(done))),
            "new_step_starts": begun,
            "take_events": lambda events: note((EVENTS_TAKEN, len(events))),
            "take_new_block_ids": lambda ids: note((NEW_IDS_TAKEN, tuple(ids) if self._blocks else None)),
            "make_prefix_cache_stats": lambda stats: note((STATS_TAKEN, stats_of(stats))),
            "get_num_common_prefix_blocks": prefix_asked,
            "get_blocks": tables_asked,
        }

    def snapshot(self) -> None:
        """Note the manager's state. Raises UnpicturableError if this release keeps it otherwise."""
        view = view_of(self.manager)
        live = [self._books[name].number for name in view.tables]
        self._note(LateSnapshot(view, live, self._identities))

    def _shown(self, blocks: Any) -> Any:
        return LateIds(blocks) if self._blocks and blocks is not None else None

    def _raised(self, name: str, error: Exception) -> None:
        self._note((RAISED, f"{type(error).__name__}: {error}", name))

    def _give_up(self, defect: Exception) -> None:
        """End the recording, and let the engine go on: what was missed cannot be told any more."""
        why = f"a defect of the recorder: {type(defect).__name__}: {defect}"
        self._note((RAISED, why, RECORDER))
        recorders = recorders_of(self.manager)
        if self in recorders:
            recorders.remove(self)
            self._ends(why)


def _items(features: Any, first: int = 0) -> tuple[Item, ...]:
    """Multimodal items that begin behind `first`, their offsets told from there."""
    return tuple(
        Item(one.identifier, one.mm_position.offset - first, one.mm_position.length)
        for one in features or ()
        if one.mm_position.offset >= first
    )
