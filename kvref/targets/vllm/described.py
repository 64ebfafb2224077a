"""The arguments of a vLLM manager as a configuration: the inverse of `session`."""

import os
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from kvref.errors import ConfigurationError
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    CrossGroup,
    FullGroup,
    Group,
    MambaGroup,
    MLAGroup,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.protocol import STEPS_IN_FLIGHT
from kvref.targets.vllm import releases


def configuration_of(arguments: Mapping[str, Any]) -> Configuration:
    """What a manager with these arguments was built from. Raises ConfigurationError for what has no words."""
    kv_cache_config = arguments["kv_cache_config"]
    groups = _groups(kv_cache_config.kv_cache_groups)
    in_flight = arguments.get("max_in_flight_tokens")  # since 0.26
    batched = arguments.get("max_num_batched_tokens")  # from 0.20 to 0.25
    if in_flight is not None:
        batched = -(-in_flight // STEPS_IN_FLIGHT)
    size = groups[0].block_size if groups else 1
    scheduler_size = arguments.get("scheduler_block_size") or size
    return Configuration(
        groups=groups,
        num_blocks=kv_cache_config.num_blocks,
        max_model_len=arguments["max_model_len"],
        scheduler_block_size=scheduler_size,
        hash_block_size=arguments.get("hash_block_size") or scheduler_size,
        max_num_batched_tokens=batched,
        enable_caching=arguments["enable_caching"],
        use_eagle=arguments["use_eagle"],
        log_stats=arguments["log_stats"],
        enable_kv_cache_events=arguments["enable_kv_cache_events"],
        dcp_world_size=arguments.get("dcp_world_size", 1),
        pcp_world_size=arguments.get("pcp_world_size", 1),
        retention_interval=_retention(kv_cache_config),
    )


def _retention(kv_cache_config: Any) -> int | None:
    if releases.HAS_RETENTION_FIELD:
        interval: int | None = getattr(kv_cache_config, releases.RETENTION_FIELD)
        return interval
    told = os.environ.get(releases.RETENTION_VARIABLE)
    return int(told) if told else None


def _groups(described: Any) -> tuple[Group, ...]:
    """The groups. Specs that differ in what has no words here (a head's size, say) differ in `heads`."""
    alike: dict[Group, list[Any]] = {}
    groups = []
    for one in described:
        spec = one.kv_cache_spec
        group = group_of(spec)
        met = alike.setdefault(group, [])
        if spec not in met:
            met.append(spec)
        eagle = bool(getattr(one, "is_eagle_group", False))
        groups.append(msgspec.structs.replace(group, heads=1 + met.index(spec), eagle=eagle))
    return tuple(groups)


def group_of(spec: Any) -> Group:  # noqa: PLR0911 - one a kind
    """The group of a spec. Raises ConfigurationError if its kind is not one of ours."""
    size = spec.block_size
    match {kind: tag for tag, kind in releases.SPECS.items()}.get(type(spec)):
        case "full":
            return FullGroup(size)
        case "mla":
            return MLAGroup(size)
        case "sink":
            return SinkGroup(size, spec.sink_len)
        case "sliding":
            return SlidingGroup(size, spec.sliding_window)
        case "sliding_mla":
            return SlidingMLAGroup(size, spec.sliding_window)
        case "chunked":
            return ChunkedGroup(size, spec.attention_chunk_size)
        case "mamba":
            return MambaGroup(size, _mamba_mode(spec), spec.num_speculative_blocks)
        case "cross":
            return CrossGroup(size)
        case _:
            raise ConfigurationError(f"there are no words for groups of kind {type(spec).__name__}")


def _mamba_mode(spec: Any) -> Literal["none", "all", "align"]:
    mode: Literal["none", "all", "align"] = getattr(spec, "mamba_cache_mode", "none")
    return mode
