"""Decoding through any manager's block tables gives what the model without a cache gives."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kvref.optimized
import kvref.reference
from kvref.dataplane.transformer.jobs import Job
from kvref.dataplane.transformer.layers import Kind
from kvref.errors import UserError
from kvref.operations import ChunkedGroup, FullGroup, MambaGroup, SlidingGroup
from kvref.targets.inprocess import manager_of
from tests.dataplane.transformer.small import CHUNKED, FULL, HYBRID, MAMBA, SLIDING, Setting, decode

MANAGERS = [kvref.reference.KVCacheManager, kvref.optimized.KVCacheManager]


@pytest.mark.parametrize("manager_class", MANAGERS)
@pytest.mark.parametrize("drafts", [0, 3])
@pytest.mark.parametrize("kinds", [(FULL,), (SLIDING,), (CHUNKED,), (MAMBA,), HYBRID])
def test_each_kind_alone_and_all_together(
    kinds: tuple[Kind, ...], drafts: int, manager_class: Callable[..., Any]
) -> None:
    for caching in (True, False):
        comparison, counts = decode(Setting(kinds, seed=1, drafts=drafts, caching=caching), manager_class)
        assert comparison.agrees, comparison
        assert (counts.hit_tokens > 0) is caching


def test_the_pressure_is_real() -> None:
    comparison, counts = decode(Setting(HYBRID, seed=2, requests=12))
    assert comparison.agrees, comparison
    assert counts.hit_tokens
    assert counts.hit_blocks
    assert counts.evictions
    assert counts.preemptions
    assert counts.accepted_drafts
    assert counts.rejected_drafts
    assert counts.computed_tokens > counts.output_tokens


@st.composite
def schedules(draw: st.DrawFn) -> Setting:
    size = draw(st.sampled_from((2, 4, 8)))
    drafts = draw(st.integers(0, min(size - 1, 4)))
    kinds: tuple[Kind, ...] = (
        FullGroup(size),
        SlidingGroup(size, window=draw(st.integers(1, 17))),
        ChunkedGroup(size, chunk=size * draw(st.integers(1, 4))),
        MambaGroup(size, mode="align", speculative_blocks=drafts + draw(st.integers(0, 1))),
    )
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4, unique=True))
    further = draw(st.lists(st.integers(0, len(chosen) - 1), max_size=2))
    return Setting(
        tuple(chosen),
        seed=draw(st.integers(0, 10_000)),
        layers=(*range(len(chosen)), *further),
        drafts=drafts,
        lookahead=draw(st.sampled_from((0, drafts))),
        caching=draw(st.integers(0, 4)) > 0,
        requests=6,
    )


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(schedules(), st.sampled_from(MANAGERS))
def test_any_mix_and_schedule(setting: Setting, manager_class: Callable[..., Any]) -> None:
    comparison, _ = decode(setting, manager_class)
    assert comparison.agrees, comparison


@pytest.mark.parametrize("seed", range(3))
def test_groups_of_different_block_sizes(seed: int) -> None:
    kinds = (FullGroup(8), SlidingGroup(4, window=9), MambaGroup(8, mode="align", speculative_blocks=2))
    comparison, counts = decode(Setting(kinds, seed=seed, drafts=2))
    assert comparison.agrees, comparison
    assert counts.hit_tokens


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (MambaGroup(4, mode="align", speculative_blocks=2), "verifies fewer"),
        (MambaGroup(2, mode="align", speculative_blocks=3), "verifies fewer"),
        (MambaGroup(4, mode="all", speculative_blocks=3), "mode align"),
    ],
)
def test_states_that_cannot_be_kept_are_refused(kind: MambaGroup, why: str) -> None:
    setting = Setting((kind,), seed=1, drafts=3)
    with pytest.raises(UserError, match=why):
        setting.engine(manager_of(kvref.reference.KVCacheManager, setting.configuration))


@pytest.mark.parametrize("prompt", [40, 20])
def test_a_pool_too_small_for_one_request_is_told(prompt: int) -> None:
    setting = Setting((FULL,), seed=1, num_blocks=8)
    engine = setting.engine(manager_of(kvref.reference.KVCacheManager, setting.configuration))
    with pytest.raises(UserError, match="give it more blocks"):
        engine.run([Job((1,) * prompt, 20)])
    assert (engine.counts.output_tokens > 0) is (prompt == 20)
