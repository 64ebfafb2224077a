"""KV cache specs: what one layer stores a token, and how many bytes a block of it takes.

All specs are frozen value objects: two are equal if their classes and all their fields are. Only
`block_size`, the window, the chunk, the sink and the Mamba fields matter to a manager; the rest
tells groups apart and gives page sizes in bytes [SPEC-1 to SPEC-8].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import ClassVar, Literal, Protocol

from kvref.errors import ConfigurationError


class DType(Protocol):
    """An element type, such as `torch.float16`: all that counts is its size in bytes."""

    @property
    def itemsize(self) -> int:
        """Bytes an element."""


class KVQuantMode(Enum):
    """How keys and values are quantized [SPEC-5]."""

    NONE = "none"
    NVFP4 = "nvfp4"
    INT8_PER_TOKEN_HEAD = "int8_per_token_head"  # noqa: S105 - no password
    FP8_PER_TOKEN_HEAD = "fp8_per_token_head"  # noqa: S105


_PER_TOKEN_HEAD = (KVQuantMode.INT8_PER_TOKEN_HEAD, KVQuantMode.FP8_PER_TOKEN_HEAD)
_SCALE_BYTES = 4
_FP8_DS_MLA_BYTES_A_TOKEN = 656
_DEEPSEEK_V4_BYTES_A_TOKEN = 584


def nvfp4_width(head_size: int) -> int:
    """Bytes of a head in NVFP4: packed halves and one scale for 16 elements [SPEC-4]."""
    return head_size // 2 + head_size // 16


def padded(real_bytes: int, page_size_padded: int | None) -> int:
    """The page size after padding [SPEC-5]. Raises ConfigurationError if the padding is too small."""
    if page_size_padded is None:
        return real_bytes
    if page_size_padded < real_bytes:
        raise ConfigurationError(
            f"page_size_padded {page_size_padded} is less than the page's {real_bytes} bytes"
        )
    return page_size_padded


@dataclass(frozen=True)
class KVCacheSpec:
    """What one layer stores: `block_size` tokens a block."""

    kind: ClassVar[str] = "unknown"

    block_size: int

    @property
    def page_size_bytes(self) -> int:
        """Bytes a block of one layer takes [SPEC-4, SPEC-5]."""
        raise NotImplementedError

    @property
    def storage_block_size(self) -> int:
        """Token slots that a block stores [SPEC-3]."""
        return self.block_size


@dataclass(frozen=True, kw_only=True)
class AttentionSpec(KVCacheSpec):
    """Keys and values of `num_kv_heads` heads of `head_size` elements."""

    block_size: int = field(kw_only=False)
    num_kv_heads: int
    head_size: int
    dtype: DType
    kv_quant_mode: KVQuantMode = KVQuantMode.NONE
    page_size_padded: int | None = None

    def head_bytes(self) -> int:
        """Bytes of one token's keys and values in one head [SPEC-4]."""
        if self.kv_quant_mode is KVQuantMode.NVFP4:
            return 2 * nvfp4_width(self.head_size)
        return 2 * self.head_size * self.dtype.itemsize

    def real_page_size_bytes(self) -> int:
        """Bytes before scales and padding [SPEC-4]."""
        return self.block_size * self.num_kv_heads * self.head_bytes()

    @property
    def page_size_bytes(self) -> int:
        """Bytes a block of one layer takes [SPEC-5]."""
        real = self.real_page_size_bytes()
        if self.kv_quant_mode in _PER_TOKEN_HEAD:
            real += 2 * self.block_size * self.num_kv_heads * _SCALE_BYTES
        return padded(real, self.page_size_padded)


@dataclass(frozen=True, kw_only=True)
class _TwoSizedSpec(AttentionSpec):
    """Attention whose values may have another head size than its keys."""

    head_size_v: int | None = None

    def __post_init__(self) -> None:
        if self.head_size_v is None:
            object.__setattr__(self, "head_size_v", self.head_size)

    def head_bytes(self) -> int:
        value_size = self.head_size if self.head_size_v is None else self.head_size_v
        if self.kv_quant_mode is KVQuantMode.NVFP4:
            return nvfp4_width(self.head_size) + nvfp4_width(value_size)
        return (self.head_size + value_size) * self.dtype.itemsize


@dataclass(frozen=True, kw_only=True)
class FullAttentionSpec(_TwoSizedSpec):
    """Full attention. A recorded window or chunk is informational: nothing is recycled."""

    kind: ClassVar[str] = "full_attention"

    sliding_window: int | None = None
    attention_chunk_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class TQFullAttentionSpec(FullAttentionSpec):
    """Full attention with slots of a size of their own [SPEC-4]."""

    tq_slot_size: int = 0

    def head_bytes(self) -> int:
        """Bytes of one token in one head: the slot size, if one is set."""
        return self.tq_slot_size or super().head_bytes()


def _latent_page_size(spec: AttentionSpec, compress_ratio: int) -> int:
    stored = spec.block_size // compress_ratio
    return stored * spec.num_kv_heads * spec.head_size * spec.dtype.itemsize


def _round_up_to(spec: AttentionSpec, alignment: int | None) -> None:
    """Pad a page to a multiple of `alignment` bytes [SPEC-6]."""
    if alignment is None:
        return
    real = spec.real_page_size_bytes()
    rounded = -(-real // alignment) * alignment
    if rounded != real:
        object.__setattr__(spec, "page_size_padded", rounded)


@dataclass(frozen=True, kw_only=True)
class MLAAttentionSpec(FullAttentionSpec):
    """Multi-head latent attention: one latent a token, full attention to the manager."""

    kind: ClassVar[str] = "mla_attention"

    cache_dtype_str: str | None = None
    alignment: int | None = None
    compress_ratio: int = 1
    model_version: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _round_up_to(self, self.alignment)

    @property
    def storage_block_size(self) -> int:
        """Latents that a block stores [SPEC-3]."""
        return self.block_size // self.compress_ratio

    def real_page_size_bytes(self) -> int:
        """Bytes before padding [SPEC-4]."""
        if self.cache_dtype_str == "fp8_ds_mla":
            if self.model_version == "deepseek_v4":
                return _DEEPSEEK_V4_BYTES_A_TOKEN * self.storage_block_size
            return _FP8_DS_MLA_BYTES_A_TOKEN * self.block_size
        return _latent_page_size(self, self.compress_ratio)


@dataclass(frozen=True, kw_only=True)
class HiddenStateCacheSpec(MLAAttentionSpec):
    """Hidden states kept as if they were latents."""


@dataclass(frozen=True, kw_only=True)
class SinkFullAttentionSpec(FullAttentionSpec):
    """Full attention with `sink_len` slots set aside for good [SINK-1]."""

    kind: ClassVar[str] = "sink_full_attention"

    sink_len: int | None = None


@dataclass(frozen=True, kw_only=True)
class SlidingWindowSpec(_TwoSizedSpec):
    """Attention to the last `sliding_window` tokens."""

    kind: ClassVar[str] = "sliding_window"

    sliding_window: int


@dataclass(frozen=True, kw_only=True)
class SlidingWindowMLASpec(SlidingWindowSpec):
    """Sliding window over latents."""

    kind: ClassVar[str] = "sliding_window_mla"

    cache_dtype_str: str | None = None
    alignment: int | None = None
    compress_ratio: int = 1
    model_version: str | None = None

    def __post_init__(self) -> None:
        """Pad the page [SPEC-6]. `head_size_v` stays unset, as observed [SPEC-7, Q-44]."""
        if self.model_version not in (None, "deepseek_v4"):
            raise ConfigurationError(f"model_version {self.model_version!r}: use None or deepseek_v4")
        _round_up_to(self, self.alignment)

    @property
    def storage_block_size(self) -> int:
        """Latents that a block stores [SPEC-3]."""
        return self.block_size // self.compress_ratio

    def real_page_size_bytes(self) -> int:
        """Bytes before padding [SPEC-4]."""
        if self.model_version == "deepseek_v4" and self.cache_dtype_str == "fp8_ds_mla":
            return _DEEPSEEK_V4_BYTES_A_TOKEN * self.storage_block_size
        return _latent_page_size(self, self.compress_ratio)


@dataclass(frozen=True, kw_only=True)
class ChunkedLocalAttentionSpec(AttentionSpec):
    """Attention to the tokens of the own chunk."""

    kind: ClassVar[str] = "chunked_local_attention"

    attention_chunk_size: int


@dataclass(frozen=True)
class MambaSpec(KVCacheSpec):
    """A recurrent state a block; `shapes` and `dtypes` describe its tensors [SPEC-1, SPEC-4]."""

    kind: ClassVar[str] = "mamba"

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[DType, ...]
    page_size_padded: int | None = None
    mamba_type: str = "mamba2"
    mamba_cache_mode: Literal["none", "all", "align"] = "none"
    num_speculative_blocks: int = 0

    @property
    def page_size_bytes(self) -> int:
        """Bytes of one state [SPEC-4, SPEC-5]."""
        real = sum(
            prod(shape) * dtype.itemsize for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        )
        return padded(real, self.page_size_padded)


@dataclass(frozen=True, kw_only=True)
class CrossAttentionSpec(AttentionSpec):
    """Attention of a decoder to the encoder's tokens."""

    kind: ClassVar[str] = "cross_attention"


@dataclass(frozen=True)
class UniformTypeKVCacheSpecs(KVCacheSpec):
    """Layers that differ in the size of a page: `kv_cache_specs` by layer. No manager takes them [REG-2]."""

    kv_cache_specs: Mapping[str, KVCacheSpec]

    @property
    def page_size_bytes(self) -> int:
        """Bytes a block takes in all layers together [SPEC-4]."""
        return sum(spec.page_size_bytes for spec in self.kv_cache_specs.values())


def _layers(spec: KVCacheSpec) -> list[KVCacheSpec]:
    return list(spec.kv_cache_specs.values()) if isinstance(spec, UniformTypeKVCacheSpecs) else [spec]


def kind_of(spec: KVCacheSpec) -> str:
    """The most specific kind, of layers that have the same; else `unknown` [SPEC-2]."""
    kinds = {layer.kind for layer in _layers(spec)}
    return kinds.pop() if len(kinds) == 1 else KVCacheSpec.kind


def window_of(spec: KVCacheSpec) -> int | None:
    """The window that recycles blocks, if all layers have the same; None for every other kind [SPEC-2]."""
    windows = {
        layer.sliding_window if isinstance(layer, SlidingWindowSpec) else None for layer in _layers(spec)
    }
    return windows.pop() if len(windows) == 1 else None
