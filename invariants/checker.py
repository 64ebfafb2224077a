"""Holds a manager's life against all invariants, one operation after another."""

from dataclasses import dataclass, field

from invariants import content, effects, events, free_queue, hits, prefix_map, references, tables
from invariants.history import History
from invariants.protocols import StateInvariant, StepInvariant
from invariants.setting import Setting
from invariants.step import Step
from invariants.view import View, Violation

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


@dataclass(slots=True)
class Checker:
    """The invariants over one manager's life. Give it every operation, from the first on."""

    setting: Setting
    history: History = field(init=False)

    def __post_init__(self) -> None:
        """Begin without a past."""
        self.history = History(self.setting)

    def state(self, view: View) -> list[Violation]:
        """What does not hold in `view`. A picture with holes is not looked at any closer."""
        whole, *others = STATE_INVARIANTS
        return list(whole(view, self.setting)) or [v for each in others for v in each(view, self.setting)]

    def step(self, before: View, step: Step, after: View) -> list[Violation]:
        """Note `step`, and say what does not hold of it or of the state that it led to."""
        self.history.record(step)
        violations = self.state(after) if before != after else []
        if any(v.invariant == STATE_INVARIANTS[0].id for v in violations):
            return violations
        violations += [v for each in STEP_INVARIANTS for v in each(before, step, after, self.history)]
        for _, key, request, group, index in content.newly_keyed(before, step, after, self.history):
            identity = self.history.identity(request, group, index)
            if identity is not None:
                self.history.learn(key, identity)
        return violations
