"""Holds a manager's life against all invariants, one operation after another."""

from dataclasses import dataclass, field
from functools import cache

from invariants import content, effects, events, free_queue, hits, prefix_map, references, tables
from invariants.history import History
from invariants.protocols import StateInvariant, StepInvariant
from invariants.setting import Setting
from invariants.step import Action, Step
from invariants.view import PARTS, Part, View, Violation, changed

STATE_INVARIANTS: tuple[StateInvariant, ...] = (
    references.picture_is_whole,
    references.count_equals_use,
    references.null_block_is_nothing,
    free_queue.free_iff_unused,
    free_queue.reserved_are_held,
    free_queue.nothing_leaks,
    free_queue.usage_is_held_share,
    prefix_map.map_and_blocks_agree,
    prefix_map.no_content_without_caching,
    tables.one_group_a_block,
    tables.one_entry_a_block,
    tables.nulls_come_first,
    tables.handled_within_table,
)
"""All that holds in every state."""

STEP_INVARIANTS: tuple[StepInvariant, ...] = (
    free_queue.queue_order,
    prefix_map.duplicates_in_order,
    prefix_map.content_outlives_use,
    prefix_map.reset_only_unused,
    content.cached_blocks_are_full,
    content.key_names_content,
    content.shared_blocks_agree,
    tables.tables_only_grow,
    tables.tables_hold_the_slots,
    tables.hits_are_bound,
    hits.hit_length,
    hits.hit_covers_every_group,
    hits.hit_reads_no_null,
    hits.hit_holds_its_content,
    hits.oldest_is_hit,
    hits.equal_specs_hit_alike,
    hits.eagle_has_its_block,
    hits.no_hit_unasked,
    hits.hit_state_is_computed,
    events.events_replay_the_map,
    effects.effects_are_its_own,
    effects.refusal_changes_nothing,
)
"""All that holds of every operation, refused ones included."""


@cache
def of_state(parts: tuple[Part, ...]) -> tuple[StateInvariant, ...]:
    """The invariants that look at these parts of a view, and before them the one that all others rely on."""
    whole, *others = STATE_INVARIANTS
    return whole, *(each for each in others if not each.parts.isdisjoint(parts))


_of_step: dict[tuple[type[Action], tuple[Part, ...]], tuple[StepInvariant, ...]] = {}


def of_step(action: type[Action], parts: tuple[Part, ...]) -> tuple[StepInvariant, ...]:
    """The invariants that may fail of an operation of this kind that changed these parts."""
    known = _of_step.get((action, parts))
    if known is None:
        known = tuple(each for each in STEP_INVARIANTS if each.concerns(action, parts))
        _of_step[action, parts] = known
    return known


@dataclass(slots=True)
class Checker:
    """The invariants over one manager's life. Give it every operation, from the first on."""

    setting: Setting
    history: History = field(init=False)
    _is_known: bool = field(init=False, default=False)
    """Whether all invariants have seen the state before the step."""

    def __post_init__(self) -> None:
        """Begin without a past."""
        self.history = History(self.setting)

    def state(self, view: View, parts: tuple[Part, ...] = PARTS) -> list[Violation]:
        """What does not hold in `view`, of which these `parts` are new.

        A picture with holes is not looked at any closer.
        """
        whole, *others = of_state(parts)
        return list(whole(view, self.setting)) or [v for each in others for v in each(view, self.setting)]

    def step(self, before: View, step: Step, after: View) -> list[Violation]:
        """Note `step`, and say what does not hold of it or of the state that it led to."""
        self.history.record(step)
        parts = changed(before, after)
        violations: list[Violation] = []
        if parts:
            violations = self.state(after, parts if self._is_known else PARTS)
            self._is_known = all(v.invariant != STATE_INVARIANTS[0].id for v in violations)
            if not self._is_known:
                return violations
        for each in of_step(type(step.action), parts):
            violations += each(before, step, after, self.history)
        for _, key, request, group, index in content.newly_keyed(before, step, after, self.history):
            identity = self.history.identity(request, group, index)
            if identity is not None:
                self.history.learn(key, identity)
        return violations
