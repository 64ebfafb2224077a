"""What a manager is built from: groups, pool size, block sizes; and which of it no manager can honour."""

from dataclasses import dataclass, field
from math import gcd, lcm

from kvref.errors import ConfigurationError
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
)
from spec.units import GroupId


@dataclass(frozen=True)
class KVCacheGroupSpec:
    """Layers that share one block table [SPEC-11]. `is_eagle_group` marks a draft head's layers."""

    layer_names: tuple[str, ...]
    kv_cache_spec: KVCacheSpec
    is_eagle_group: bool = False


@dataclass(frozen=True)
class KVCacheConfig:
    """The pool and the groups that share it [SPEC-11]."""

    num_blocks: int
    kv_cache_groups: tuple[KVCacheGroupSpec, ...]

    @property
    def has_mamba_layers(self) -> bool:
        """Whether any group is recurrent."""
        return any(isinstance(g.kv_cache_spec, MambaSpec) for g in self.kv_cache_groups)


@dataclass(frozen=True)
class ManagerConfig:
    """Everything that decides a manager's behaviour, checked on construction.

    Sizes and lengths are in tokens. `max_num_batched_tokens` is the most that one step schedules,
    None for `max_model_len` [CFG-1]. `retention_interval` None caches densely [RETAIN-1]. Raises
    ConfigurationError, which says what is wrong, for a configuration that cannot be honoured.
    """

    kv_cache_config: KVCacheConfig
    max_model_len: int
    scheduler_block_size: int
    hash_block_size: int
    max_num_batched_tokens: int | None = None
    enable_caching: bool = True
    use_eagle: bool = False
    log_stats: bool = False
    enable_kv_cache_events: bool = False
    dcp_world_size: int = 1
    pcp_world_size: int = 1
    retention_interval: int | None = None
    eagle_groups: frozenset[GroupId] = field(init=False)

    def __post_init__(self) -> None:
        """Find the EAGLE groups [CFG-5] and refuse what cannot be [CFG-3, RETAIN-2]."""
        marked = frozenset(GroupId(i) for i, g in enumerate(self.groups) if g.is_eagle_group)
        if not marked and self.use_eagle:
            marked = frozenset(GroupId(i) for i in range(len(self.groups)))
        object.__setattr__(self, "eagle_groups", marked)
        _check_sizes(self)
        _check_retention(self)
        for spec in self.specs:
            _check_spec(spec)
        _check_sinks(self)
        if self.enable_caching:
            _check_caching(self)

    @property
    def groups(self) -> tuple[KVCacheGroupSpec, ...]:
        """The groups in configuration order."""
        return self.kv_cache_config.kv_cache_groups

    @property
    def specs(self) -> tuple[KVCacheSpec, ...]:
        """The groups' specs in configuration order."""
        return tuple(group.kv_cache_spec for group in self.groups)

    @property
    def context_parallel_size(self) -> int:
        """By how much context parallelism multiplies a block [DCP-1]."""
        return self.dcp_world_size * self.pcp_world_size

    @property
    def has_lone_group(self) -> bool:
        """Whether one group alone decides hits, at its own block size [CFG-2]."""
        return len(self.groups) == 1

    @property
    def batched_tokens(self) -> int:
        """The most tokens that one step schedules [CFG-1]."""
        most = self.max_num_batched_tokens
        return self.max_model_len if most is None else most

    @property
    def hit_alignment(self) -> int:
        """What every hit length is a multiple of, in tokens [HIT-1, HIT-4]."""
        if self.has_lone_group:
            return self.specs[0].block_size * self.context_parallel_size
        return self.scheduler_block_size


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)


def _check_sizes(config: ManagerConfig) -> None:
    """Pool and block sizes [CFG-3a, CFG-3b]."""
    scheduler, fine = config.scheduler_block_size, config.hash_block_size
    _require(config.kv_cache_config.num_blocks > 0, "num_blocks must be a positive number of blocks")
    _require(config.max_model_len > 0, "max_model_len must be a positive number of tokens")
    _require(config.batched_tokens > 0, "max_num_batched_tokens must be a positive number of tokens")
    _require(
        min(scheduler, fine, config.dcp_world_size, config.pcp_world_size) > 0,
        "block sizes and context-parallel world sizes must be positive",
    )
    _require(
        scheduler % fine == 0,
        f"scheduler_block_size {scheduler} must be a multiple of hash_block_size {fine}",
    )
    for spec in config.specs:
        _require(spec.block_size > 0, f"block size {spec.block_size} must be positive")
        _require(
            scheduler % spec.block_size == 0,
            f"scheduler_block_size {scheduler} must be a multiple of block size {spec.block_size}",
        )


def _check_sinks(config: ManagerConfig) -> None:
    """The sinks' blocks must leave one to hand out [SINK-1]."""
    reserved = sum(
        (spec.sink_len or 0) // spec.block_size
        for spec in config.specs
        if isinstance(spec, SinkFullAttentionSpec)
    )
    usable = config.kv_cache_config.num_blocks - 1
    _require(
        reserved == 0 or reserved < usable,
        f"the sinks reserve {reserved} blocks, but only {usable} can be used: give the pool more blocks",
    )


def _check_retention(config: ManagerConfig) -> None:
    """The retention interval, with caching off, too [RETAIN-2, Q-36]."""
    interval = config.retention_interval
    if interval is None:
        return
    _require(
        any(isinstance(spec, SlidingWindowSpec) for spec in config.specs),
        "a retention interval is set, but there is no sliding-window KV cache group for it to thin out",
    )
    _require(
        interval >= 0 and interval % config.scheduler_block_size == 0,
        f"retention interval {interval} must be non-negative and a multiple of scheduler_block_size "
        f"{config.scheduler_block_size}",
    )


def _check_spec(spec: KVCacheSpec) -> None:
    """Windows, chunks, sinks and speculative blocks [SINK-1, REG-2]."""
    if isinstance(spec, SinkFullAttentionSpec):
        sink = spec.sink_len or 0
        _require(
            sink > 0 and sink % spec.block_size == 0,
            f"sink_len {spec.sink_len} must be a positive multiple of block size {spec.block_size}",
        )
    elif isinstance(spec, SlidingWindowSpec):
        _require(spec.sliding_window > 0, "sliding_window must be a positive number of tokens")
    elif isinstance(spec, ChunkedLocalAttentionSpec):
        _require(spec.attention_chunk_size > 0, "attention_chunk_size must be positive")
    elif isinstance(spec, MambaSpec):
        _require(spec.num_speculative_blocks >= 0, "num_speculative_blocks must not be negative")
    elif not isinstance(spec, FullAttentionSpec | CrossAttentionSpec):
        raise ConfigurationError(f"no manager is known for {type(spec).__name__}")


def _check_caching(config: ManagerConfig) -> None:
    """What prefix caching asks of the groups [CFG-3e, CROSS-3, CHUNK-1, DCP-1, Q-23, Q-49]."""
    factor = config.context_parallel_size
    for index, spec in enumerate(config.specs):
        _require(
            not isinstance(spec, CrossAttentionSpec),
            f"group {index}: prefix caching cannot serve cross attention; turn caching off",
        )
        _require(
            factor == 1 or isinstance(spec, FullAttentionSpec),
            f"group {index}: prefix caching under context parallelism serves full attention only",
        )
        if isinstance(spec, ChunkedLocalAttentionSpec):
            eagle = config.eagle_groups & _groups_like(config, spec)
            _require(not eagle, f"group {index}: chunked local attention cannot feed EAGLE's draft head")
            _require(
                spec.block_size == config.hit_alignment,
                f"group {index}: chunked local attention needs block size {config.hit_alignment}, "
                f"the alignment of hits, not {spec.block_size}",
            )
        _require(
            spec.block_size * (factor if config.has_lone_group else 1) % config.hash_block_size == 0,
            f"group {index}: block size {spec.block_size} must be divisible by hash_block_size "
            f"{config.hash_block_size}",
        )
    if config.has_lone_group:
        _require(
            config.hash_block_size == config.hit_alignment,
            f"a lone group hashes whole blocks: hash_block_size must be {config.hit_alignment}",
        )
    else:
        _require(factor == 1, "prefix caching over several groups cannot use context parallelism")


def _groups_like(config: ManagerConfig, spec: KVCacheSpec) -> frozenset[GroupId]:
    """The groups with an equal spec, which share the EAGLE bit [CFG-6]."""
    return frozenset(GroupId(i) for i, other in enumerate(config.specs) if other == spec)


def resolve_block_sizes(
    block_sizes: list[int],
    *,
    cache_block_size: int,
    context_parallel_size: int = 1,
    needs_hashes: bool = True,
    hash_block_size: int | None = None,
    mamba_block_sizes: tuple[int, ...] = (),
) -> tuple[int, int]:
    """The scheduler's and the hash block size for groups of `block_sizes` tokens [CFG-9].

    `needs_hashes`: prefix caching or a connector is on. Raises ConfigurationError [ERR-17].
    """
    if len(block_sizes) <= 1:
        size = cache_block_size * context_parallel_size
        return size, size
    _require(context_parallel_size == 1, "context parallelism is not supported with several groups")
    scheduler = lcm(*block_sizes)
    if not needs_hashes or any(size != cache_block_size for size in mamba_block_sizes):
        return scheduler, scheduler
    fine = gcd(*block_sizes) if hash_block_size is None else hash_block_size
    _require(
        fine > 0 and all(size % fine == 0 for size in block_sizes),
        f"Invalid hash_block_size {fine}: it must divide every group's block size",
    )
    return scheduler, fine
