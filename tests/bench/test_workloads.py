from random import Random

import pytest

from kvref.bench.catalogue import BUILDERS, build, chosen
from kvref.bench.workloads import (
    BLOCK,
    DIGEST_BYTES,
    FULL_SIZE,
    POOLS,
    QUICK_SIZE,
    SYSTEM_PROMPTS,
    content_of,
)
from kvref.errors import UserError
from kvref.operations import FullGroup, SlidingGroup

NAMES = list(BUILDERS)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_repeats_exactly(name: str) -> None:
    assert build(name, 1, QUICK_SIZE) == build(name, 1, QUICK_SIZE)
    assert build(name, 1, QUICK_SIZE) != build(name, 2, QUICK_SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_every_full_block_has_a_digest(name: str) -> None:
    workload = build(name, 1, QUICK_SIZE)
    assert workload.name == name
    size = workload.configuration.hash_block_size
    for wave in workload.waves:
        assert list(wave.jobs) == sorted(wave.jobs, key=lambda job: job.arrival)
        for job in wave.jobs:
            assert job.output >= 1
            assert len(job.digests()) >= (job.prompt + job.output - 1) // size


@pytest.mark.parametrize("name", ["full", "hybrid"])
def test_the_workloads_of_the_readme(name: str) -> None:
    workload = build(name, 1, FULL_SIZE)
    cold = workload.waves[0].jobs
    assert len(cold) == 256
    assert {job.prompt // 1_024 for job in cold} == {8}
    assert {group.block_size for group in workload.configuration.groups} == {16}
    full, *windows = workload.configuration.groups
    assert isinstance(full, FullGroup)
    assert windows == ([] if name == "full" else [SlidingGroup(16, 1_024)] * 3)


@pytest.mark.parametrize("name", ["full", "hybrid", "mamba", "eagle"])
def test_a_steady_pool_holds_one_wave_and_not_two(name: str) -> None:
    workload = build(name, 1, QUICK_SIZE)
    cold, warm, others = workload.waves
    size = workload.configuration.hash_block_size
    full = sum(-(-(job.prompt + job.output) // size) for job in cold.jobs)
    assert full < workload.configuration.num_blocks < 2 * full * len(workload.configuration.groups)
    assert [job.content for job in warm.jobs] == [job.content for job in cold.jobs]
    assert not {job.content for job in others.jobs} & {job.content for job in cold.jobs}
    assert [wave.phase for wave in workload.waves] == ["prefill", "prefill", "evict"]


def test_system_prompts_are_shared() -> None:
    first, later = build("system-prompts", 1, QUICK_SIZE).waves
    assert [job.prompt // 1_024 for job in first.jobs] == [tokens // 1_024 for tokens in SYSTEM_PROMPTS]
    for number, job in enumerate(later.jobs):
        owner = first.jobs[number // QUICK_SIZE.sharers]
        shared = SYSTEM_PROMPTS[number // QUICK_SIZE.sharers] // BLOCK * DIGEST_BYTES
        assert job.content[:shared] == owner.content[:shared]
        assert job.content != owner.content


def test_pools_differ_in_their_size_alone() -> None:
    built = [build(name, 1, FULL_SIZE) for name in POOLS]
    assert [workload.configuration.num_blocks for workload in built] == [10_000, 100_000, 1_000_000]
    assert len({tuple(job.prompt for job in workload.waves[0].jobs) for workload in built}) == 1


def test_digests_are_objects_of_their_own() -> None:
    (job, *_) = build("pool-10k", 1, QUICK_SIZE).waves[0].jobs
    assert job.digests() == job.digests()
    assert job.digests()[0] is not job.digests()[0]


def test_content_begins_with_what_is_shared() -> None:
    rng = Random(1)  # noqa: S311
    prefix = content_of(rng, 64)
    assert len(prefix) == 4 * DIGEST_BYTES
    longer = content_of(rng, 100, shared=prefix)
    assert longer.startswith(prefix)
    assert len(longer) == 6 * DIGEST_BYTES


def test_workloads_are_chosen_by_name_in_their_own_order() -> None:
    assert chosen(()) == tuple(NAMES)
    assert chosen(("hybrid", "full", "full")) == ("full", "hybrid")
    with pytest.raises(UserError, match="no workload is called 'fast': choose of full"):
        chosen(("full", "fast"))
