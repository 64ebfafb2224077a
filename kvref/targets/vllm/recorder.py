"""Notes every call to a live vLLM manager, and what it returned.

Taps are put on the methods of one manager object; nothing of vLLM is replaced. A tap calls the method as it
was called, and appends one note of what came of it: the engine's thread does no more, since all that a note
leads to is worked out where it is written (`telling`). A defect of ours ends the recording, and nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from inspect import signature
from operator import attrgetter
from typing import Any

from kvref.operations import Configuration
from kvref.record.entries import Content
from kvref.record.notes import Notes
from kvref.record.taps import AS_IS, BARE, FOUND, HIT, LENGTH, NAMED, NOTHING, OF_REQUEST, ROWS, WHETHER
from kvref.record.told import ALLOCATE, RECORDER
from kvref.targets.vllm.cost import Cost
from kvref.targets.vllm.telling import RAISED, STEP_HAS_RUN, Telling

WITH_ARGUMENTS = (
    *(ALLOCATE, "get_computed_blocks", "free", "cache_blocks", "remove_skipped_blocks"),
    *("get_num_common_prefix_blocks", "get_blocks", "evict_blocks"),
)

SAMPLED_STEPS = 64
"""In one of so many steps, it is measured what recording costs: in the middle one, since the first are slower."""

FIRST_SAMPLED = SAMPLED_STEPS // 2

MARK = "_kvref_recorders"

logger = logging.getLogger("vllm.kvref")

# A property of the request, or a copy, would cost more.
_tokens_of = attrgetter("_all_token_ids")


def recorders_of(manager: Any) -> "list[Recorder]":
    """The recorders that were put on a manager."""
    recorders: list[Recorder] = getattr(manager, MARK, [])
    return recorders


def _parameters(manager: Any, name: str) -> tuple[str, ...]:
    """The parameters of a method, whoever is around it."""
    method = getattr(type(manager), name, None)
    return () if method is None else tuple(signature(method).parameters)[1:]


class Recorder:
    """Puts taps on a manager's methods, from its first call on.

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
        self._taps = notes.taps
        self._ends = ends
        parameters = {name: _parameters(manager, name) for name in WITH_ARGUMENTS}
        self._telling = Telling(configuration, tokens, self._end, parameters, blocks=blocks)
        notes.make = self._telling.entries
        self._blocks = blocks
        self._cost = Cost()
        self._snapshots = snapshots
        self._is_to_resume = False
        self.step_has_run: Callable[[], None] = self._taps.saying(
            notes.queue, (self._telling.as_is, STEP_HAS_RUN)
        )
        """To be called when the results of the oldest launched step have come."""
        self.sampled: Callable[[Mapping[str, Any], Iterable[str]], None] = self._taps.saying_lengths(
            notes.queue, self._telling.sampled, self._give_up
        )
        """To be called with the requests of which some have perhaps sampled tokens, and these ones' names.

        These tokens are in the past, as far as the requests are there.
        """
        self._timed = self._cost.timing(self._around_allocating, manager.allocate_slots)
        self._put_taps()
        manager.allocate_slots = self._untimed = self._around_allocating(manager.allocate_slots)
        begin = getattr(manager, "new_step_starts", None)
        self._steps = self._taps.paced(
            notes.queue,
            begin or tuple,
            self._telling.step_begins,
            partial(self._raised, "new_step_starts"),
            self._give_up,
            self._look_around,
        )
        if begin is not None:  # releases before 0.17 do not tell of it
            manager.new_step_starts = self._steps
        self._look_later()
        # As an attribute: to ask for the object's dictionary would make all of its attributes slower.
        setattr(manager, MARK, [*recorders_of(manager), self])

    def is_to_resume(self) -> None:
        """Called by another thread: at the next step, all is to be told anew."""
        self._is_to_resume = True
        self._steps.until = 0

    # What does not come from the manager

    def continues(self, session: Any) -> None:
        """A streaming session is about to be given its next input, for which it loses tokens."""
        try:
            self._note((self._telling.saw, session, len(_tokens_of(session))))
            with self._notes.making:
                self._telling.continues(session)
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    def continued(self, session: Any) -> None:
        """A streaming session was given its next input."""
        try:
            computed, length = session.num_computed_tokens, len(_tokens_of(session))
            self._note((self._telling.continued, session, computed, length))
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)

    # Taps

    def _put_taps(self) -> None:
        """Put a tap on each of the methods that this release has."""
        telling, blocks = self._telling, self._blocks
        rows, found = (ROWS, FOUND) if blocks else (NOTHING, HIT)
        noted: dict[str, tuple[Callable[..., object], int, int, str | None]] = {
            "reset_prefix_cache": (telling.reset, BARE, AS_IS, None),
            "take_events": (telling.events_taken, BARE, LENGTH, None),
            "take_new_block_ids": (telling.new_ids_taken, BARE, AS_IS if blocks else NOTHING, None),
            "make_prefix_cache_stats": (telling.stats_taken, BARE, AS_IS, None),
            "get_computed_blocks": (telling.looked_up, OF_REQUEST, found, "num_preemptions"),
            "free": (telling.freed, OF_REQUEST, NOTHING, "status"),
            "cache_blocks": (telling.cached, OF_REQUEST, NOTHING, None),
            "remove_skipped_blocks": (telling.skipped, NAMED, NOTHING, None),
            "get_num_common_prefix_blocks": (telling.prefix_asked, NAMED, AS_IS, None),
            "get_blocks": (telling.tables_asked, NAMED, rows, None),
            "evict_blocks": (telling.evicted, NAMED, NOTHING, None),
        }
        for name, (tell, shape, keeps, extra) in noted.items():
            method = getattr(self.manager, name, None)
            if method is not None:
                failed = partial(self._raised, name)
                tap = self._taps.around(
                    self._notes.queue, method, tell, failed, self._give_up, shape, keeps, extra
                )
                setattr(self.manager, name, tap)

    def _around_allocating(self, allocate: Callable[..., Any]) -> Callable[..., Any]:
        """A tap on `allocate_slots`, the most frequent call. What it returns is made for the caller, and not copied."""
        failed = partial(self._raised, ALLOCATE)
        keeps = AS_IS if self._blocks else WHETHER
        told = self._notes.queue, allocate, self._telling.allocated, failed, self._give_up
        tap: Callable[..., Any] = self._taps.around(
            *told, OF_REQUEST, keeps, "num_computed_tokens", even_if_raised=True
        )
        return tap

    def _look_around(self) -> None:
        """At the beginning of a step: note the state, or measure, if it is time."""
        steps = self._steps.calls
        since = steps % SAMPLED_STEPS
        try:
            if self._is_to_resume:
                self._is_to_resume = False
                self._note((self._telling.resumed, self._cost.of_state(self.manager)))
            elif self._snapshots is not None and steps % self._snapshots == 0:
                self._note((self._telling.snapshot, self._cost.of_state(self.manager)))
            if since in (FIRST_SAMPLED, FIRST_SAMPLED + 1):
                self._sample(begins=since == FIRST_SAMPLED)
        except Exception as defect:  # noqa: BLE001 - ours must not become the engine's
            self._give_up(defect)
        self._look_later()

    def _look_later(self) -> None:
        """Look around at the next step at which there is something to do."""
        steps = self._steps.calls
        next_one = (
            steps + 1 + min((at - steps - 1) % SAMPLED_STEPS for at in (FIRST_SAMPLED, FIRST_SAMPLED + 1))
        )
        if self._snapshots is not None:
            next_one = min(next_one, steps + self._snapshots - steps % self._snapshots)
        self._steps.until = next_one
        if self._is_to_resume:  # asked for since
            self._steps.until = 0

    def _sample(self, *, begins: bool) -> None:
        """Have what is noted of allocations timed for one step, unless somebody else is around them, too."""
        own, other = (self._untimed, self._timed) if begins else (self._timed, self._untimed)
        if self.manager.allocate_slots is own:
            self.manager.allocate_slots = other
        if not begins:
            self._note((self._telling.cost, *self._cost.told()))

    def _raised(self, name: str, error: Exception) -> None:
        """A method has raised."""
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
