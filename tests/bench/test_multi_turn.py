from itertools import pairwise
from random import Random

import pytest

from kvref.bench.multi_turn import Length, conversations, multi_turn, statistics
from kvref.bench.workloads import BLOCK, DIGEST_BYTES, FULL_SIZE, Job


def drawn(seed: int) -> Random:
    return Random(seed)  # noqa: S311


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_trace_has_the_published_shape(seed: int) -> None:
    facts = multi_turn(drawn(seed), FULL_SIZE).facts
    assert 400 < facts["requests"] < 700
    assert 1.8 < facts["turns_mean"] < 2.8
    assert 3_000 < facts["prompt_p50"] < 11_000
    assert 1.2 < facts["prompt_mean"] / facts["prompt_p50"] < 2.0, "a long tail"
    assert 90 < facts["output_p50"] < 170
    assert 600 < facts["output_p99"] <= 1_000
    assert 0.5 < facts["shared_fraction"] < 0.7


def test_a_turn_begins_with_all_that_was_said() -> None:
    several = [talk for talk in conversations(drawn(1), 40) if len(talk.turns) > 1]
    assert len(several) > 10
    for talk in several:
        turns = talk.jobs()
        for before, after in pairwise(turns):
            assert after.content.startswith(before.content)
            assert after.prompt > before.prompt + before.output
            assert after.arrival >= before.arrival + before.output


def test_conversations_share_system_prompts() -> None:
    talks = conversations(drawn(1), 40)
    assert len({talk.content[:DIGEST_BYTES] for talk in talks}) <= 6


def test_statistics_of_a_trace_by_hand() -> None:
    content = bytes(range(128)) * 2
    trace = [
        Job(4 * BLOCK, 10, content[: 4 * DIGEST_BYTES], 0),
        Job(8 * BLOCK, 20, content, 3),
        Job(4 * BLOCK, 30, content[4 * DIGEST_BYTES :], 9),
    ]
    # The digests repeat after four blocks: 0 of 4 seen before, then 8 of 8, then 4 of 4.
    facts = statistics(trace)
    assert facts["shared_fraction"] == 12 / 16
    assert facts["requests"] == 3
    assert facts["prompt_p50"] == 4 * BLOCK
    assert facts["output_mean"] == 20
    assert facts["steps_between_arrivals"] == 4.5


def test_lengths_keep_their_limits() -> None:
    length = Length(median=100, sigma=3.0, least=50, most=200)
    seen = {length.draw(rng) for rng in [drawn(1)] for _ in range(200)}
    assert min(seen) == 50
    assert max(seen) == 200
