"""KV cache specs and configurations by vLLM's names [SPEC-1 to SPEC-8, SPEC-11]."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import kvref.config
from kvref.config import KVCacheGroupSpec
from kvref.kv_cache_spec import (
    AttentionSpec,
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    HiddenStateCacheSpec,
    KVCacheSpec,
    KVQuantMode,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowMLASpec,
    SlidingWindowSpec,
    TQFullAttentionSpec,
    UniformTypeKVCacheSpecs,
    kind_of,
    window_of,
)

__all__ = [
    "AttentionSpec",
    "ChunkedLocalAttentionSpec",
    "CrossAttentionSpec",
    "FullAttentionSpec",
    "HiddenStateCacheSpec",
    "KVCacheGroupSpec",
    "KVCacheSpec",
    "KVQuantMode",
    "MLAAttentionSpec",
    "MambaSpec",
    "SinkFullAttentionSpec",
    "SlidingWindowMLASpec",
    "SlidingWindowSpec",
    "TQFullAttentionSpec",
    "UniformTypeKVCacheSpecs",
]

get_kv_cache_spec_sliding_window = window_of


class KVCacheSpecKind(StrEnum):
    """What events call a kind of attention."""

    FULL_ATTENTION = FullAttentionSpec.kind
    MLA_ATTENTION = MLAAttentionSpec.kind
    SINK_FULL_ATTENTION = SinkFullAttentionSpec.kind
    SLIDING_WINDOW = SlidingWindowSpec.kind
    SLIDING_WINDOW_MLA = SlidingWindowMLASpec.kind
    CHUNKED_LOCAL_ATTENTION = ChunkedLocalAttentionSpec.kind
    MAMBA = MambaSpec.kind
    CROSS_ATTENTION = CrossAttentionSpec.kind
    UNKNOWN = KVCacheSpec.kind


def get_kv_cache_spec_kind(kv_cache_spec: KVCacheSpec) -> KVCacheSpecKind:
    """The most specific kind of a spec [SPEC-2]."""
    return KVCacheSpecKind(kind_of(kv_cache_spec))


@dataclass
class KVCacheTensor:
    """Memory for layers, which is nothing to a manager."""

    size: int
    shared_by: list[str]


@dataclass
class KVCacheConfig:
    """The pool and the groups that share it [SPEC-11]."""

    num_blocks: int
    kv_cache_tensors: list[KVCacheTensor] = field(default_factory=list)
    kv_cache_groups: Sequence[KVCacheGroupSpec] = ()

    @property
    def has_mamba_layers(self) -> bool:
        """Whether any group is recurrent."""
        return self.meant().has_mamba_layers

    @property
    def needs_kv_cache_zeroing(self) -> bool:
        """Whether fresh blocks must be zeroed."""
        return self.has_mamba_layers

    def meant(self) -> kvref.config.KVCacheConfig:
        """The same as kvref's."""
        return kvref.config.KVCacheConfig(self.num_blocks, tuple(self.kv_cache_groups))
