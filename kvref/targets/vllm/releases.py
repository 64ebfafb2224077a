"""What the vLLM beside this process offers of 0.23.0's public API, told by its signatures where they tell it.

The one table of differences between releases; `session` drives what it finds here.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib.metadata import version
from inspect import signature
from typing import Any

from vllm.v1 import kv_cache_interface as interface
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.request import Request

from kvref.operations import Operation
from kvref.targets.capabilities import Capabilities

RETENTION_VARIABLE = "VLLM_PREFIX_CACHE_RETENTION_INTERVAL"
RETENTION_FIELD = "prefix_cache_retention_interval"
"""An environment variable from 0.23 to 0.28, a field of the configuration since 0.29."""

SPECS: dict[str, Any] = {
    tag: getattr(interface, name)
    for tag, name in {
        "full": "FullAttentionSpec",
        "mla": "MLAAttentionSpec",
        "sink": "SinkFullAttentionSpec",  # since 0.14
        "sliding": "SlidingWindowSpec",
        "sliding_mla": "SlidingWindowMLASpec",  # since 0.20
        "chunked": "ChunkedLocalAttentionSpec",
        "mamba": "MambaSpec",
        "cross": "CrossAttentionSpec",
    }.items()
    if hasattr(interface, name)
}
"""The classes of group specs, by the tag of their kind."""

METHODS = {
    "CacheBlocks": "cache_blocks",
    "RemoveSkipped": "remove_skipped_blocks",  # since 0.14
    "Evict": "evict_blocks",  # since 0.13
    "CommonPrefix": "get_num_common_prefix_blocks",
}
"""The methods that operations need, where not every release has to have them."""

WITHOUT_EFFECT = {
    "NewStep": "new_step_starts",  # since 0.17
    "TakeNewBlockIds": "take_new_block_ids",  # since 0.17
}
"""Where a release lacks the method, nothing is owed, and nothing is returned."""

_ARGUMENTS = {
    "external": "num_external_computed_tokens",  # since 0.14; before, counted among the new tokens
    "lookahead": "num_lookahead_tokens",
    "delay": "delay_cache_blocks",
    "encoder": "num_encoder_tokens",
    "must_fit": "full_sequence_must_fit",  # since 0.21
    "reserved": "reserved_blocks",  # since 0.23
}
RELEASE = version("vllm")
VERSION = tuple(int(part) for part in RELEASE.split(".")[:2])
DROPS_REPLACED_HASHES = VERSION >= (0, 32)
"""Whether the scheduler drops the hashes of tokens that a streaming session replaces."""


def known(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that the function has."""
    parameters = signature(function).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


_opening = signature(KVCacheManager).parameters
_configuring = {field.name for field in fields(interface.KVCacheConfig)}

ALLOCATING = {
    field: name
    for field, name in _ARGUMENTS.items()
    if name in signature(KVCacheManager.allocate_slots).parameters
}
"""The arguments of `allocate_slots`, by the fields of an `Allocate`."""

HAS_EXTERNAL = "external" in ALLOCATING
HAS_MAMBA_MODES = "mamba_cache_mode" in signature(interface.MambaSpec).parameters  # since 0.15
MAMBA_MODES = frozenset({"none", "all", "align"} if HAS_MAMBA_MODES else {"none", "all"})
"""Before modes were told, the manager did what it does for both of those since."""

COUNTS_IN_FLIGHT = VERSION >= (0, 26)
"""Whether the scheduler keeps with each request how many tokens are in flight."""

REQUEST_EXTRAS = known(Request, {"eos_token_id": None})
"""What requests asked for until 0.16."""

HAS_RETENTION_FIELD = RETENTION_FIELD in _configuring
HAS_EAGLE_GROUPS = "is_eagle_group" in {field.name for field in fields(interface.KVCacheGroupSpec)}
ABSENT = frozenset(name for name, method in WITHOUT_EFFECT.items() if not hasattr(KVCacheManager, method))


def _operations() -> frozenset[str]:
    """The operations that can be asked."""
    lacking = {name for name, method in METHODS.items() if not hasattr(KVCacheManager, method)}
    if not hasattr(Request, "update_block_hashes"):
        lacking.add("ContinueRequest")  # streaming sessions, since 0.16
    return frozenset(kind.__name__ for kind in Operation.__args__) - lacking


CAPABILITIES = Capabilities(
    release=f"vllm {RELEASE}",
    groups=frozenset(SPECS),
    mamba_modes=MAMBA_MODES,
    operations=_operations(),
    arguments=frozenset(ALLOCATING) | {"external"},
    block_sizes="hash_block_size" in _opening,
    eagle_groups=HAS_EAGLE_GROUPS,
    decode_context_parallel="dcp_world_size" in _opening,
    prefill_context_parallel="pcp_world_size" in _opening,
    retention=HAS_RETENTION_FIELD or VERSION in {(0, minor) for minor in range(23, 29)},
)
