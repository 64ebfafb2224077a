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
from kvref.targets.inprocess import DEFAULTS, spec_of

ARGUMENTS: Final = {"max_num_batched_tokens": None, **DEFAULTS, "retention_interval": None}
"""The manager's arguments that have a default."""


def spec_arguments(group: Group, dtype: str, *, tells_mode: bool) -> Iterator[str]:
    """The arguments of a group's spec, by the names that vLLM and we have in common."""
    yield f"block_size={group.block_size}"
    if isinstance(group, MambaGroup):
        yield f"shapes=(({group.heads}, 8),)"
        yield f"dtypes=({dtype},)"
        if tells_mode:
            yield f'mamba_cache_mode="{group.mode}"'
        if group.speculative_blocks:
            yield f"num_speculative_blocks={group.speculative_blocks}"
    else:
        yield from (f"num_kv_heads={group.heads}", "head_size=8", f"dtype={dtype}")
    match group:
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            yield f"sliding_window={window}"
        case SinkGroup(sink=sink):
            yield f"sink_len={sink}"
        case ChunkedGroup(chunk=chunk):
            yield f"attention_chunk_size={chunk}"
        case _:
            pass


def group_text(at: int, group: Group) -> str:
    """The group at index `at`, as an argument of `KVCacheConfig`."""
    tells_mode = isinstance(group, MambaGroup) and group.mode != "none"
    arguments = ", ".join(spec_arguments(group, "FLOAT16", tells_mode=tells_mode))
    spec: type[KVCacheSpec] = type(spec_of(group))
    eagle = ", is_eagle_group=True" if group.eagle else ""
    return f'KVCacheGroupSpec(("layer.{at}",), {spec.__name__}({arguments}){eagle}),'


def arguments_text(configuration: Configuration) -> Iterator[str]:
    """The manager's arguments, a line each; those that have their default are left out."""
    for name in ("max_model_len", "scheduler_block_size", "hash_block_size"):
        yield f"{name}={getattr(configuration, name)},"
    for name, default in ARGUMENTS.items():
        value = getattr(configuration, name)
        if value != default:
            yield f"{name}={value},"
