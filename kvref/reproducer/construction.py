"""A configuration as text in our own API: the groups' specs, and the manager's arguments."""

from collections.abc import Iterator
from typing import Final

from kvref.kv_cache_spec import KVCacheSpec
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    Group,
    MambaGroup,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.targets.inprocess import spec_of

ARGUMENTS: Final = {
    "max_num_batched_tokens": None,
    "enable_caching": True,
    "use_eagle": False,
    "log_stats": False,
    "enable_kv_cache_events": False,
    "dcp_world_size": 1,
    "pcp_world_size": 1,
    "retention_interval": None,
}
"""The manager's arguments that have a default."""


def group_text(at: int, group: Group) -> str:
    """The group at index `at`, as an argument of `KVCacheConfig`."""
    arguments = [f"block_size={group.block_size}"]
    if isinstance(group, MambaGroup):
        arguments += [f"shapes=(({group.heads}, 8),)", "dtypes=(FLOAT16,)"]
        arguments += [f'mamba_cache_mode="{group.mode}"'] if group.mode != "none" else []
        arguments += (
            [f"num_speculative_blocks={group.speculative_blocks}"] if group.speculative_blocks else []
        )
    else:
        arguments += [f"num_kv_heads={group.heads}", "head_size=8", "dtype=FLOAT16"]
    match group:
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            arguments.append(f"sliding_window={window}")
        case SinkGroup(sink=sink):
            arguments.append(f"sink_len={sink}")
        case ChunkedGroup(chunk=chunk):
            arguments.append(f"attention_chunk_size={chunk}")
        case _:
            pass
    spec: type[KVCacheSpec] = type(spec_of(group))
    eagle = ", is_eagle_group=True" if group.eagle else ""
    return f'KVCacheGroupSpec(("layer.{at}",), {spec.__name__}({", ".join(arguments)}){eagle}),'


def arguments_text(configuration: Configuration) -> Iterator[str]:
    """The manager's arguments, a line each; those that have their default are left out."""
    for name in ("max_model_len", "scheduler_block_size", "hash_block_size"):
        yield f"{name}={getattr(configuration, name)},"
    for name, default in ARGUMENTS.items():
        value = getattr(configuration, name)
        if value != default:
            yield f"{name}={value},"
