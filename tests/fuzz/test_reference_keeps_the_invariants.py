"""The reference breaks no invariant, in the kinds that a comparison with vLLM cannot reach, too."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invariants.view import View, Violation
from kvref.fuzz import configurations
from kvref.fuzz.cases import Case, Notice, draw_case
from kvref.fuzz.configurations import Profile
from kvref.fuzz.coverage import Coverage
from kvref.operations import (
    Configuration,
    CrossGroup,
    FullGroup,
    MambaGroup,
    MLAGroup,
    Observation,
    Operation,
    SinkGroup,
    SlidingGroup,
)
from kvref.targets.reference import ReferenceSession
from kvref.witness import Witness

configuration = partial(
    Configuration, max_model_len=96, scheduler_block_size=4, hash_block_size=4, max_num_batched_tokens=40
)
SINKS = {
    "a lone sink": configuration((SinkGroup(4, 8),), 20),
    "a sink and a window": configuration((SinkGroup(4, 4), SlidingGroup(4, 9)), 36),
    "a sink with EAGLE": configuration((SinkGroup(4, 4),), 20, use_eagle=True),
    "a sink and a recurrent state": configuration((SinkGroup(4, 4), MambaGroup(4, "align", 1)), 36),
}
PARALLEL = {
    "decode context parallel": configuration((FullGroup(2),), 18, dcp_world_size=2),
    "both ways parallel": configuration(
        (MLAGroup(1),), 18, dcp_world_size=2, pcp_world_size=2, use_eagle=True
    ),
}
CROSS = {
    "cross attention": configuration((FullGroup(4), CrossGroup(4)), 24, enable_caching=False),
    "cross attention and a window": configuration(
        (SlidingGroup(4, 6), CrossGroup(4)), 20, enable_caching=False
    ),
}


def witnessed(seed: int, profile: Profile, made: Configuration | None = None) -> tuple[Case, list[Violation]]:
    """One case, of a configuration made by hand if one is given, and what it broke."""
    broken: list[Violation] = []

    def notice(drawn: Configuration) -> Notice:
        witness = Witness(drawn)

        def see(operation: Operation, observation: Observation, view: View) -> None:
            broken.extend(witness.sees(operation, observation, view))

        return see

    with pytest.MonkeyPatch.context() as patch:
        if made is not None:
            patch.setattr(configurations, "draw", lambda *_: made)
        case = draw_case(seed, profile, 0, 60, ReferenceSession, (), notice)
    assert not case.expected.refused or made is None
    return case, broken


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(["mixed", "clean"]))
def test_the_reference_breaks_no_invariant(seed: int, profile: Profile) -> None:
    assert witnessed(seed, profile)[1] == []


@settings(max_examples=12)
@given(st.integers(0, 2**32))
@pytest.mark.parametrize("made", SINKS | PARALLEL | CROSS)
def test_nor_with_what_vllm_cannot_be_compared_on(made: str, seed: int) -> None:
    assert witnessed(seed, "clean", (SINKS | PARALLEL | CROSS)[made])[1] == []


def covered(made: dict[str, Configuration], seeds: range) -> Coverage:
    """What took part in something while invariants were kept."""
    coverage = Coverage()
    for hand_made in made.values():
        for seed in seeds:
            case, broken = witnessed(seed, "clean", hand_made)
            assert broken == []
            coverage.add(case.coverage)
    return coverage


@pytest.mark.parametrize(
    ("made", "cells"),
    [
        (SINKS, [("sink", "hit"), ("sink", "eviction"), ("sink", "refusal")]),
        (PARALLEL, [("context parallel", event) for event in ("hit", "eviction", "refusal")]),
        (CROSS, [("cross", "refusal")]),
    ],
    ids=["sink", "context parallel", "cross"],
)
def test_these_kinds_take_part_in_what_is_checked(
    made: dict[str, Configuration], cells: list[tuple[str, str]]
) -> None:
    counts = covered(made, range(10)).counts
    assert [cell for cell in cells if counts[cell] < 5] == []


@pytest.mark.parametrize("made", SINKS | PARALLEL)
def test_a_witness_of_these_kinds_sees_a_hit_that_is_not_there(made: str) -> None:
    """The check above can fail: one lookup that claims a block more is noticed."""

    def lies(seed: int) -> list[Violation]:
        hand_made = (SINKS | PARALLEL)[made]
        case, _ = witnessed(seed, "clean", hand_made)
        session, witness = ReferenceSession(hand_made), Witness(hand_made)
        for operation in case.trace.operations:
            observation = session.apply(operation)
            if observation.tokens:
                longer = Observation(observation.blocks, observation.tokens + 4, events=observation.events)
                return witness.sees(operation, longer, session.view())
            assert witness.sees(operation, observation, session.view()) == []
        return []

    find: Callable[[int], list[Violation]] = lies
    assert any(find(seed) for seed in range(10))
