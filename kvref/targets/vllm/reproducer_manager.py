"""A reproducer's manager: its configuration in vLLM's own classes, as a release wants it."""

from collections.abc import Iterator
from typing import Final

from kvref.operations import (
    ChunkedGroup,
    Configuration,
    CrossGroup,
    Group,
    MambaGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.protocol import STEPS_IN_FLIGHT
from kvref.reproducer.construction import spec_arguments
from kvref.targets.vllm.release_api import ReleaseApi

SPECS: Final = {
    "full": "FullAttentionSpec",
    "mla": "MLAAttentionSpec",
    "sink": "SinkFullAttentionSpec",
    "sliding": "SlidingWindowSpec",
    "sliding_mla": "SlidingWindowMLASpec",
    "chunked": "ChunkedLocalAttentionSpec",
    "mamba": "MambaSpec",
    "cross": "CrossAttentionSpec",
}


def kind_of(group: Group) -> str:
    """The tag of the group's kind."""
    return str(type(group).__struct_config__.tag)


def environment_of(configuration: Configuration, release: ReleaseApi) -> str:
    """The variables that are set before vLLM is imported."""
    variables = {"PYTHONHASHSEED": configuration.hash_seed}
    if configuration.retention_interval is not None and release.retention == "variable":
        variables["VLLM_PREFIX_CACHE_RETENTION_INTERVAL"] = str(configuration.retention_interval)
    return "".join(f'os.environ["{name}"] = "{value}"\n' for name, value in variables.items())


def spec_of(at: int, group: Group, release: ReleaseApi) -> str:
    """The group at this index."""
    name = SPECS[kind_of(group)]
    arguments = ", ".join(spec_arguments(group, "torch.float16", tells_mode=release.has("mamba_modes")))
    eagle = ", is_eagle_group=True" if group.eagle else ""
    return f'KVCacheGroupSpec(\n    ["layer.{at}"], {name}({arguments}){eagle}\n),'


def retention_of(configuration: Configuration, release: ReleaseApi) -> str:
    """The retention interval, where it is a field of the configuration."""
    if configuration.retention_interval is None or release.retention != "field":
        return ""
    return f"            prefix_cache_retention_interval={configuration.retention_interval},\n"


def arguments_of(configuration: Configuration, release: ReleaseApi) -> Iterator[str]:
    """The manager's arguments besides that configuration."""
    yield f"max_model_len={configuration.max_model_len}"
    yield f"enable_caching={configuration.enable_caching}"
    for argument, field in release.opening.items():
        value = getattr(configuration, field)
        if argument == "max_in_flight_tokens" and value is not None:
            value *= STEPS_IN_FLIGHT
        yield f"{argument}={value}"


def tables_of(configuration: Configuration) -> str:
    """What the worker knows of the groups."""
    factor = configuration.dcp_world_size * configuration.pcp_world_size
    groups = dict(enumerate(configuration.groups))
    recurrent = {at: group for at, group in groups.items() if isinstance(group, MambaGroup)}
    cross = [at for at, group in groups.items() if isinstance(group, CrossGroup)]
    reads = {at: _first_read(g) for at, g in groups.items() if at not in recurrent and at not in cross}
    lines = [
        f"BLOCK_SIZES = { ({at: group.block_size * factor for at, group in groups.items()}) }",
        f"KINDS = { ({at: kind_of(group) for at, group in groups.items()}) }",
    ]
    if reads:
        pairs = ", ".join(f"{at}: lambda start: {first}" for at, first in reads.items())
        lines.append(
            f"FIRST_READ = {{{pairs}}}  # a step that computes from token `start` on reads from here on"
        )
    if recurrent:
        lines.append(f"STATES = {list(recurrent)}")
    aligned = [at for at, group in recurrent.items() if group.mode == "align"]
    if aligned:
        lines.append(f"ALIGNED = {aligned}")
    if cross:
        lines.append(f"CROSS = {cross}")
    return "\n".join(lines)


def _first_read(group: Group) -> str:
    match group:
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            return f"max(0, start - {window - 1})"
        case ChunkedGroup(chunk=chunk):
            return f"start // {chunk} * {chunk}"
        case _:
            return "0"
