"""Every lie of a manager shows in the logits, and so does every mistake of the worker."""

from collections.abc import Sequence
from random import Random

import pytest

from kvref.dataplane.transformer.drafter import lookup_drafter
from kvref.dataplane.transformer.jobs import Job
from kvref.dataplane.transformer.layers import Kind
from kvref.dataplane.transformer.states import StateSlots
from kvref.dataplane.transformer.verify import TOLERANCE
from kvref.targets.inprocess import manager_of
from tests.dataplane.transformer import lies
from tests.dataplane.transformer.small import (
    CHUNKED,
    FULL,
    HYBRID,
    MAMBA,
    SHAPE,
    SLIDING,
    Setting,
    against_dense,
    decode,
)

SEEDS = range(5)
LIES: list[tuple[type[lies.Lying], tuple[Kind, ...]]] = [
    (lies.HitsTooLong, (FULL,)),
    (lies.WindowTooShort, (SLIDING,)),
    (lies.WindowTooShort, (CHUNKED,)),
    (lies.GivesTwice, (FULL,)),
    (lies.GivesTwice, HYBRID),
    (lies.ForgetsEviction, (FULL,)),
    (lies.ForgetsEviction, HYBRID),
    (lies.ForgetsRejection, (SLIDING,)),
    (lies.SwapsEntries, (FULL,)),
    (lies.TellsBackwards, (FULL,)),
    (lies.TellsBackwards, (MAMBA,)),
    (lies.OthersState, (MAMBA,)),
    (lies.HitsUncomputedStates, (MAMBA,)),
    (lies.ForgetsGroup, HYBRID),
]


def largest_difference(kinds: tuple[Kind, ...], liar: type[lies.Lying] = lies.Lying) -> float:
    """In a few schedules whose requests come close together."""
    settings = [Setting(kinds, seed, arrival=0.9) for seed in SEEDS]
    return max(decode(setting, liar)[0].largest_difference for setting in settings)


@pytest.mark.parametrize("kinds", [(FULL,), (SLIDING,), (CHUNKED,), (MAMBA,), HYBRID])
def test_who_does_not_lie_is_not_accused(kinds: tuple[Kind, ...]) -> None:
    assert largest_difference(kinds) <= TOLERANCE


@pytest.mark.parametrize(("liar", "kinds"), LIES)
def test_a_lie_is_noticed(liar: type[lies.Lying], kinds: tuple[Kind, ...]) -> None:
    assert largest_difference(kinds, liar) > TOLERANCE


def test_a_rejected_drafts_block_in_the_cache_is_noticed() -> None:
    setting = Setting((FULL,), seed=1, num_blocks=60)
    manager = manager_of(lies.CachesDrafts, setting.configuration)
    guess = lookup_drafter(Random(1), SHAPE.vocabulary)  # noqa: S311 - no secret

    def drafter(tokens: Sequence[int], count: int) -> list[int]:
        manager.drafts[tuple(tokens)] = guess(tokens, count)
        return list(manager.drafts[tuple(tokens)])

    engine = setting.engine(manager, drafter)
    honest = engine.run([Job(setting.jobs()[0].prompt, 24)])
    assert against_dense(setting.model, honest).agrees
    text = tuple(honest[0].request.all_token_ids)
    rejected = [poison for poison in manager.poisoned if poison != text[: len(poison)]]
    manager.drafts.clear()
    misled = engine.run([Job((*poison, 1), 2) for poison in rejected])
    assert engine.counts.hit_tokens
    assert against_dense(setting.model, misled).largest_difference > TOLERANCE


def keeps_no_boundary(self: StateSlots, table: Sequence[int], computed: int) -> list[tuple[int, int]]:
    del table
    self.computed, self.source = computed, self.written[computed]
    return []


def goes_on_from_the_last_draft(
    self: StateSlots, table: Sequence[int], computed: int
) -> list[tuple[int, int]]:
    del table
    self.computed, self.source = computed, self.written[max(self.written)]
    return []


@pytest.mark.parametrize("mistake", [keeps_no_boundary, goes_on_from_the_last_draft])
def test_a_state_out_of_place_is_noticed(mistake: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateSlots, "settle", mistake)
    assert largest_difference((MAMBA,)) > TOLERANCE
