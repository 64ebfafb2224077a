"""Which configurations are refused, and what they are told; and what follows from the accepted ones.

CFG-1 to CFG-6, CFG-9, RETAIN-1, RETAIN-2, SINK-1, SINK-2, REG-2, DCP-1, CROSS-3, CHUNK-1, SPEC-11, HIT-1, ERR-9, ERR-10, ERR-14, ERR-16,
ERR-17, Q-6, Q-23, Q-24, Q-36, Q-49, Q-53.
"""

import re
from typing import Any

import pytest

from kvref.config import (
    KVCacheConfig,
    KVCacheGroupSpec,
    ManagerConfig,
    resolve_block_sizes,
)
from kvref.errors import ConfigurationError
from kvref.kv_cache_spec import KVCacheSpec
from tests.reference.driving import chunked, cross, full, mamba, sink, sliding


def config(*specs: KVCacheSpec, eagle_groups: tuple[int, ...] = (), **options: Any) -> ManagerConfig:
    sizes = [spec.block_size for spec in specs]
    groups = tuple(
        KVCacheGroupSpec((f"layer.{i}",), spec, is_eagle_group=i in eagle_groups)
        for i, spec in enumerate(specs)
    )
    options = {
        "max_model_len": 100,
        "scheduler_block_size": max(sizes, default=4),
        "hash_block_size": min(sizes, default=4),
        **options,
    }
    return ManagerConfig(KVCacheConfig(options.pop("num_blocks", 10), groups), **options)


REFUSED: list[tuple[str, tuple[KVCacheSpec, ...], dict[str, Any]]] = [
    ("num_blocks must be a positive number", (full(4),), {"num_blocks": 0}),
    ("max_model_len must be a positive number", (full(4),), {"max_model_len": 0}),
    ("max_num_batched_tokens must be a positive number", (full(4),), {"max_num_batched_tokens": -1}),
    ("must be positive", (full(4),), {"dcp_world_size": 0}),
    ("must be positive", (full(4),), {"hash_block_size": 0}),
    (
        "scheduler_block_size 6 must be a multiple of hash_block_size 4",
        (full(4),),
        {"scheduler_block_size": 6},
    ),
    ("block size 0 must be positive", (full(0),), {"scheduler_block_size": 4, "hash_block_size": 4}),
    (
        "scheduler_block_size 8 must be a multiple of block size 6",
        (full(6),),
        {"scheduler_block_size": 8, "hash_block_size": 4},
    ),
    ("no sliding-window KV cache group", (full(4),), {"retention_interval": 8}),
    ("no sliding-window KV cache group", (full(4),), {"retention_interval": 5, "enable_caching": False}),
    ("must be non-negative", (sliding(4, 8),), {"retention_interval": -4}),
    ("multiple of scheduler_block_size 4", (sliding(4, 8),), {"retention_interval": 6}),
    ("sink_len 6 must be a positive multiple of block size 4", (sink(4, 6),), {}),
    ("sink_len 0 must be a positive multiple", (sink(4, 0),), {}),
    ("sliding_window must be a positive", (sliding(4, 0),), {}),
    ("attention_chunk_size must be positive", (chunked(4, 0),), {}),
    ("num_speculative_blocks must not be negative", (mamba(4, -1),), {}),
    ("no manager is known for KVCacheSpec", (KVCacheSpec(4),), {}),
    ("group 1: prefix caching cannot serve cross attention", (full(4), cross(4)), {}),
    (
        "group 0: prefix caching under context parallelism serves full attention only",
        (sliding(4, 8),),
        {"dcp_world_size": 2, "scheduler_block_size": 8, "hash_block_size": 8},
    ),
    ("group 1: chunked local attention cannot feed EAGLE", (full(4), chunked(4, 8)), {"use_eagle": True}),
    ("group 0: chunked local attention cannot feed EAGLE", (chunked(4, 8),), {"eagle_groups": (0,)}),
    (
        "group 1: chunked local attention needs block size 8, the alignment of hits, not 4",
        (full(8), chunked(4, 8)),
        {},
    ),
    (
        "group 1: block size 2 must be divisible by hash_block_size 4",
        (full(4), sliding(2, 4)),
        {"hash_block_size": 4},
    ),
    (
        "a lone group hashes whole blocks: hash_block_size must be 4",
        (full(4),),
        {"hash_block_size": 2},
    ),
    (
        "a lone group hashes whole blocks: hash_block_size must be 8",
        (full(4),),
        {"dcp_world_size": 2},
    ),
    (
        "prefix caching over several groups cannot use context parallelism",
        (full(4), full(8)),
        {"pcp_world_size": 2},
    ),
]


@pytest.mark.parametrize(("words", "specs", "options"), REFUSED, ids=[words for words, *_ in REFUSED])
def test_what_cannot_be_honoured_is_refused_in_words(
    words: str, specs: tuple[KVCacheSpec, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        config(*specs, **options)


ACCEPTED: list[tuple[str, tuple[KVCacheSpec, ...], dict[str, Any]]] = [
    ("no group at all", (), {}),
    ("no group and no caching", (), {"enable_caching": False}),
    ("groups with one common spec", (full(4), full(4)), {}),
    ("a sink", (sink(4, 8),), {}),
    ("cross attention without caching", (full(4), cross(4)), {"enable_caching": False}),
    ("interval 0", (sliding(4, 8),), {"retention_interval": 0}),
    ("an interval without caching", (sliding(4, 8),), {"retention_interval": 8, "enable_caching": False}),
    (
        "context parallelism",
        (full(4),),
        {"dcp_world_size": 2, "scheduler_block_size": 8, "hash_block_size": 8},
    ),
    (
        "any context parallelism without caching",
        (full(4), sliding(4, 8)),
        {"pcp_world_size": 2, "enable_caching": False},
    ),
    ("chunks that cut blocks", (chunked(4, 6),), {}),
    ("EAGLE chunks without caching", (chunked(4, 8),), {"use_eagle": True, "enable_caching": False}),
    ("a lone group with a coarser scheduler", (sliding(4, 4),), {"scheduler_block_size": 8}),
    ("a pool of the null block alone", (full(4),), {"num_blocks": 1}),
]


@pytest.mark.parametrize(("what", "specs", "options"), ACCEPTED, ids=[what for what, *_ in ACCEPTED])
def test_what_can_be_honoured_is_accepted(
    what: str, specs: tuple[KVCacheSpec, ...], options: dict[str, Any]
) -> None:
    assert config(*specs, **options).specs == specs, what


def test_retention_is_dense_if_nothing_is_said() -> None:
    # RETAIN-1
    assert config(sliding(4, 8)).retention_interval is None


def test_marked_eagle_groups_count_and_otherwise_all_do() -> None:
    # CFG-5
    specs = (full(4), sliding(4, 8))
    assert config(*specs).eagle_groups == frozenset()
    assert config(*specs, use_eagle=True).eagle_groups == {0, 1}
    assert config(*specs, use_eagle=True, eagle_groups=(1,)).eagle_groups == {1}
    assert config(*specs, eagle_groups=(1,)).eagle_groups == {1}


def test_a_step_schedules_no_more_than_the_model_takes_if_nothing_is_said() -> None:
    # CFG-1
    assert config(full(4)).batched_tokens == 100
    assert config(full(4), max_num_batched_tokens=8).batched_tokens == 8


def test_a_lone_groups_hits_are_aligned_to_its_own_blocks() -> None:
    # CFG-2, HIT-1
    assert config(sliding(4, 8), scheduler_block_size=8).hit_alignment == 4
    assert config(full(4), dcp_world_size=2, scheduler_block_size=8, hash_block_size=8).hit_alignment == 8
    assert config(full(8), sliding(2, 4)).hit_alignment == 8


def test_recurrent_layers_are_known() -> None:
    # SPEC-11
    assert config(full(4), mamba(4)).kv_cache_config.has_mamba_layers
    assert not config(full(4)).kv_cache_config.has_mamba_layers


# Block sizes for a configuration [CFG-9]


def test_one_group_uses_the_caches_block_size() -> None:
    assert resolve_block_sizes([16], cache_block_size=16, context_parallel_size=4) == (64, 64)
    assert resolve_block_sizes([], cache_block_size=16) == (16, 16)


def test_several_groups_meet_at_the_common_multiple_and_hash_at_the_common_divisor() -> None:
    assert resolve_block_sizes([8, 12], cache_block_size=8) == (24, 4)
    assert resolve_block_sizes([8, 12], cache_block_size=8, hash_block_size=2) == (24, 2)


def test_without_a_need_for_hashes_one_size_serves_both() -> None:
    assert resolve_block_sizes([8, 12], cache_block_size=8, needs_hashes=False) == (24, 24)
    assert resolve_block_sizes([8, 24], cache_block_size=8, mamba_block_sizes=(24,)) == (24, 24)
    assert resolve_block_sizes([8, 8], cache_block_size=8, mamba_block_sizes=(8,)) == (8, 8)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("context parallelism", {"context_parallel_size": 2}),
        ("Invalid hash_block_size 5", {"hash_block_size": 5}),
        ("Invalid hash_block_size 0", {"hash_block_size": 0}),
    ],
)
def test_block_sizes_that_do_not_meet_are_refused(words: str, options: dict[str, int]) -> None:
    # ERR-17
    with pytest.raises(ConfigurationError, match=words):
        resolve_block_sizes([8, 12], cache_block_size=8, **options)  # type: ignore[arg-type]
