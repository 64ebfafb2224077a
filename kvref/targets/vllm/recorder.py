"""Notes every call to a live vLLM manager, and what it returned.

The methods of one manager object are wrapped; nothing of vLLM is replaced. A wrapper calls the method as it
was called, and appends one note of what came of it: the engine's thread does no more, since all that a note
leads to is worked out where it is written (`telling`). A defect of ours ends the recording, and nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from inspect import signature
from operator import attrgetter
from typing import Any

from kvref.operations import Configuration
from kvref.record.entries import Content
from kvref.record.notes import Notes
from kvref.record.told import ALLOCATE, RECORDER
from kvref.targets.vllm.cost import Cost
from kvref.targets.vllm.telling import RAISED, Rows, Telling

STEP_BEGINS, STEP_HAS_RUN = 11, 12

SAMPLED_STEPS = 64
"""In one of so many steps, it is measured what recording costs."""

MARK = "_kvref_recorders"

logger = logging.getLogger("vllm.kvref")

# A property of the request, or a copy, would cost more.
_tokens_of = attrgetter("_all_token_ids")


def recorders_of(manager: Any) -> "list[Recorder]":
    """The recorders that were put on a manager."""
    recorders: list[Recorder] = getattr(manager, MARK, [])
    return recorders


class Recorder:
    """Wraps a manager's methods from its first call on.

    `notes` takes what is noted, and `ends` the reason why there will be no more. With `blocks`, block ids and
    all else that is returned is noted, too; with `snapshots`, the state at the beginning of every so many steps.
    """

    def __init__(
        self,
        manager: Any,
        configuration: Configuration,
        notes: Notes,
        ends: Callable[[str], object] = logger.warning,
        *,
        tokens: Content = "keep",
        blocks: bool = True,
        snapshots: int | None = None,
    ) -> None:
        self.manager = manager
        self._notes = notes
        self._note = notes.note
        self._ends = ends
        self._telling = Telling(configuration, tokens, self._end, blocks=blocks)
        notes.make = self._telling.entries
        self._blocks = blocks
        self._cost = Cost()
        self._snapshots = snapshots
        self._steps = 0
        self._ahead = 1
        self._step_has_run = (self._telling.as_is, STEP_HAS_RUN)
        self.is_to_resume = False
        """Set by another thread, which wants all to be told anew at the next step."""
        self._timed = self._cost.timing(self._around_allocating, manager.allocate_slots)
        for name, tell in self._bare().items():
            if hasattr(manager, name):
                setattr(manager, name, self._around_bare(name, getattr(manager, name), tell))
        for name, around in self._others().items():
            if hasattr(manager, name):
                setattr(manager, name, around(getattr(manager, name)))
        self._untimed = manager.allocate_slots
        # As an attribute: to ask for the object's dictionary would make all of its attributes slower.
        setattr(manager, MARK, [*recorders_of(manager), self])

    # What does not come from the manager

    def step_has_run(self) -> None:
        """The results of the oldest launched step have come."""
        self._note(self._step_has_run)

    def sampled(self, requests: Mapping[str, Any], names: Iterable[str]) -> None:
        """These of the requests have perhaps sampled tokens: they are in the past, as far as they are there."""
        try:
            there = [request for request in map(requests.get, names) if request is not None]
            self._note((self._telling.sampled, there, list(map(len, map(_tokens_of, there)))))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    def continues(self, session: Any) -> None:
        """A streaming session is about to be given its next input, for which it loses tokens."""
        try:
            self._note((self._telling.saw, session, len(_tokens_of(session))))
            self._notes.settle()
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    def continued(self, session: Any) -> None:
        """A streaming session was given its next input."""
        try:
            computed, length = session.num_computed_tokens, len(_tokens_of(session))
            self._note((self._telling.continued, session, computed, length))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    # Wrappers

    def _bare(self) -> dict[str, Callable[[Any], object]]:
        """What tells of methods without arguments, given what they returned."""
        telling = self._telling
        return {
            "reset_prefix_cache": telling.reset,
            "take_events": telling.events_taken,
            "take_new_block_ids": telling.new_ids_taken,
            "make_prefix_cache_stats": telling.stats_taken,
        }

    def _around_bare(
        self, name: str, method: Callable[[], Any], tell: Callable[[Any], object]
    ) -> Callable[[], Any]:
        note = self._note

        def call() -> Any:
            try:
                result = method()
            except Exception as error:
                self._raised(name, error)
                raise
            note((tell, result))
            return result

        return call

    def _others(self) -> dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
        """What is put around methods with arguments."""
        telling, rows = self._telling, self._rows

        def looked_up(found: Any, request: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
            length = len(_tokens_of(request))
            return telling.looked_up, request, length, request.num_preemptions, found[1], rows(found[0])

        def freed(_: Any, request: Any) -> tuple[Any, ...]:
            return telling.freed, request, len(_tokens_of(request)), request.is_finished()

        def cached(_: Any, request: Any, num_computed_tokens: int) -> tuple[Any, ...]:
            return telling.cached, request, len(_tokens_of(request)), num_computed_tokens

        def skipped(_: Any, request_id: str, *computed: int, **named: int) -> tuple[Any, ...]:
            return telling.skipped, request_id, [*computed, *named.values()][0]

        def prefix_asked(counts: Any, running_request_id: str) -> tuple[Any, ...]:
            return telling.prefix_asked, running_request_id, counts

        def tables_asked(blocks: Any, request_id: str) -> tuple[Any, ...]:
            return telling.tables_asked, request_id, rows(blocks)

        def evicted(_: Any, block_ids: Iterable[int]) -> tuple[Any, ...]:
            return telling.evicted, tuple(block_ids)

        noted: dict[str, Callable[..., tuple[Any, ...]]] = {
            "get_computed_blocks": looked_up,
            "free": freed,
            "cache_blocks": cached,
            "remove_skipped_blocks": skipped,
            "get_num_common_prefix_blocks": prefix_asked,
            "get_blocks": tables_asked,
            "evict_blocks": evicted,
        }
        around = {name: partial(self._around, name, of) for name, of in noted.items()}
        return around | {"allocate_slots": self._around_allocating, "new_step_starts": self._around_step}

    def _around(
        self, name: str, noted: Callable[..., tuple[Any, ...]], method: Callable[..., Any]
    ) -> Callable[..., Any]:
        """A method; `noted` gives the note of its result and the arguments."""
        note = self._note

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                result = method(*arguments, **named)
            except Exception as error:
                self._raised(name, error)
                raise
            try:
                note(noted(result, *arguments, **named))
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                self._give_up(defect)
            return result

        return call

    def _around_step(self, begin: Callable[[], Any]) -> Callable[[], Any]:
        """Around `new_step_starts`: here the state is noted, too, if it is time."""
        note, step = self._note, (self._telling.as_is, STEP_BEGINS)
        left = 1

        def new_step_starts() -> Any:
            nonlocal left
            try:
                result = begin()
            except Exception as error:
                self._raised("new_step_starts", error)
                raise
            note(step)
            left -= 1
            if not left or self.is_to_resume:
                self._steps += self._ahead - left
                left = self._look_around()
            return result

        return new_step_starts

    def _look_around(self) -> int:
        """Note the state, or measure, if it is time; how many steps later to look again."""
        since = self._steps % SAMPLED_STEPS
        try:
            if self.is_to_resume:
                self.is_to_resume = False
                self._note((self._telling.resumed, self._cost.of_state(self.manager)))
            elif self._snapshots is not None and self._steps % self._snapshots == 0:
                self._note((self._telling.snapshot, self._cost.of_state(self.manager)))
            if since in (1, 2):
                self._sample(begins=since == 1)
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)
        ahead = [(1 - since) % SAMPLED_STEPS or SAMPLED_STEPS, (2 - since) % SAMPLED_STEPS or SAMPLED_STEPS]
        if self._snapshots is not None:
            ahead.append(self._snapshots - self._steps % self._snapshots)
        self._ahead = min(ahead)
        return self._ahead

    def _sample(self, *, begins: bool) -> None:
        """Have what is noted of allocations timed for one step, unless somebody else is around them, too."""
        own, other = (self._untimed, self._timed) if begins else (self._timed, self._untimed)
        if self.manager.allocate_slots is own:
            self.manager.allocate_slots = other
        if not begins:
            self._note((self._telling.cost, *self._cost.told()))

    def _around_allocating(self, allocate: Callable[..., Any]) -> Callable[..., Any]:
        """Around `allocate_slots`, the most frequent call: what a running request asks takes the shorter way.

        The lists in what it returns are made for the caller: they are kept without being copied.
        """
        note, grew, admitted, state = self._note, self._telling.grew, self._telling.admitted, self._state
        options = tuple(signature(allocate).parameters)[5:]

        @wraps(allocate)  # so that who is around this knows its parameters
        def allocate_slots(
            request: Any,
            num_new_tokens: int,
            num_new_computed_tokens: int = 0,
            new_computed_blocks: Any = None,
            num_lookahead_tokens: int = 0,
            *more: Any,
            **rest: Any,
        ) -> Any:
            is_plain = new_computed_blocks is None and not more and not rest
            try:
                if is_plain:
                    blocks = allocate(
                        request, num_new_tokens, num_new_computed_tokens, None, num_lookahead_tokens
                    )
                else:
                    blocks = allocate(
                        request,
                        num_new_tokens,
                        num_new_computed_tokens,
                        new_computed_blocks,
                        num_lookahead_tokens,
                        *more,
                        **rest,
                    )
            except Exception as error:
                asked = num_new_tokens, num_lookahead_tokens, num_new_computed_tokens
                tell = (grew, *state(request), None, *asked[:2])
                note(tell if is_plain else (admitted, *state(request), None, *asked, options, more, rest))
                self._raised(ALLOCATE, error)
                raise
            try:
                length, computed = len(request._all_token_ids), request.num_computed_tokens  # noqa: SLF001 - no view of it is made
                if is_plain:
                    note((grew, request, length, computed, blocks, num_new_tokens, num_lookahead_tokens))
                else:
                    note(
                        (
                            admitted,
                            request,
                            length,
                            computed,
                            blocks,
                            num_new_tokens,
                            num_lookahead_tokens,
                            num_new_computed_tokens,
                            options,
                            more,
                            rest,
                        )
                    )
            except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
                self._give_up(defect)
            return blocks

        return allocate_slots

    def _state(self, request: Any) -> tuple[Any, int, int]:
        """A request, how many tokens it has, and how many of them are computed."""
        return request, len(_tokens_of(request)), request.num_computed_tokens

    def _rows(self, blocks: Any) -> Rows | None:
        """Blocks by group, None if they are not told. The lists may be the manager's own: they are copied."""
        return tuple(map(tuple, blocks.blocks)) if self._blocks else None

    def _raised(self, name: str, error: Exception) -> None:
        self._note((self._telling.as_is, RAISED, f"{type(error).__name__}: {error}", name))

    def _give_up(self, defect: Exception) -> None:
        """End the recording, and let the engine go on: what was missed cannot be told any more."""
        why = f"a defect of the recorder: {type(defect).__name__}: {defect}"
        self._note((self._telling.as_is, RAISED, why, RECORDER))
        self._end(why)

    def _end(self, why: str) -> None:
        recorders = recorders_of(self.manager)
        if self in recorders:
            recorders.remove(self)
            self._ends(why)
