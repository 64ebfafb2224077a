"""Specs: equality, kinds, and page sizes worked out by hand.

SPEC-1 to SPEC-7, Q-44. The admission cap is tested in tests/spec/test_capacity.py.
"""

from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import pytest

from kvref.errors import ConfigurationError
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


@dataclass(frozen=True)
class Bytes:
    """An element type of so many bytes."""

    itemsize: int


HALF, SINGLE = Bytes(2), Bytes(4)
# 16 tokens a block, 4 heads of 32 elements.
SHAPE: dict[str, Any] = {"block_size": 16, "num_kv_heads": 4, "head_size": 32, "dtype": HALF}
LATENT: dict[str, Any] = {"block_size": 64, "num_kv_heads": 1, "head_size": 576, "dtype": HALF}


def test_keys_and_values_of_every_head() -> None:
    # SPEC-4: 2 (keys, values) · 16 tokens · 4 heads · 32 elements · 2 bytes
    for spec in (
        AttentionSpec(**SHAPE),
        ChunkedLocalAttentionSpec(**SHAPE, attention_chunk_size=64),
        CrossAttentionSpec(**SHAPE),
        FullAttentionSpec(**SHAPE),
        SlidingWindowSpec(**SHAPE, sliding_window=64),
        SinkFullAttentionSpec(**SHAPE, sink_len=16),
    ):
        assert spec.page_size_bytes == 2 * 16 * 4 * 32 * 2 == 8192


def test_values_of_another_size_than_keys() -> None:
    # SPEC-4: 16 tokens · 4 heads · (32 + 16) elements · 2 bytes
    assert FullAttentionSpec(**SHAPE, head_size_v=16).page_size_bytes == 6144
    assert SlidingWindowSpec(**SHAPE, sliding_window=64, head_size_v=16).page_size_bytes == 6144


def test_four_bit_keys_and_values_with_a_scale_for_sixteen() -> None:
    # SPEC-4: a head of 32 takes 16 + 2 bytes, one of 16 takes 8 + 1.
    packed = {**SHAPE, "kv_quant_mode": KVQuantMode.NVFP4}
    assert AttentionSpec(**packed).page_size_bytes == 2 * 16 * 4 * 18 == 2304
    assert FullAttentionSpec(**packed).page_size_bytes == 2304
    assert FullAttentionSpec(**packed, head_size_v=16).page_size_bytes == 16 * 4 * (18 + 9)


def test_slots_of_a_size_of_their_own() -> None:
    # SPEC-4: 16 tokens · 4 heads · 50 bytes, whatever the heads' size.
    assert TQFullAttentionSpec(**SHAPE, tq_slot_size=50).page_size_bytes == 3200
    assert TQFullAttentionSpec(**SHAPE).page_size_bytes == 8192


@pytest.mark.parametrize("mode", [KVQuantMode.INT8_PER_TOKEN_HEAD, KVQuantMode.FP8_PER_TOKEN_HEAD])
def test_scales_for_every_token_and_head(mode: KVQuantMode) -> None:
    # SPEC-5: two scales of 4 bytes for each of 16 tokens in 4 heads on top.
    spec = FullAttentionSpec(**{**SHAPE, "dtype": Bytes(1)}, kv_quant_mode=mode)
    assert spec.page_size_bytes == 4096 + 2 * 16 * 4 * 4 == 4608


def test_padding_enlarges_a_page_and_never_cuts_it() -> None:
    # SPEC-5
    assert FullAttentionSpec(**SHAPE, page_size_padded=9000).page_size_bytes == 9000
    assert FullAttentionSpec(**SHAPE, page_size_padded=8192).page_size_bytes == 8192
    with pytest.raises(ConfigurationError, match="8191 is less than the page's 8192 bytes"):
        _ = FullAttentionSpec(**SHAPE, page_size_padded=8191).page_size_bytes


def test_one_latent_a_token() -> None:
    # SPEC-4: 64 tokens · 576 elements · 2 bytes
    assert MLAAttentionSpec(**LATENT).page_size_bytes == 73728
    assert HiddenStateCacheSpec(**LATENT).page_size_bytes == 73728
    assert SlidingWindowMLASpec(**LATENT, sliding_window=64).page_size_bytes == 73728


def test_compressed_latents_take_fewer_slots() -> None:
    # SPEC-3, SPEC-4
    spec = MLAAttentionSpec(**LATENT, compress_ratio=4)
    assert spec.storage_block_size == 16
    assert spec.page_size_bytes == 18432
    assert SlidingWindowMLASpec(**LATENT, sliding_window=64, compress_ratio=4).storage_block_size == 16
    assert FullAttentionSpec(**SHAPE).storage_block_size == 16


def test_the_packed_latents_of_two_models() -> None:
    # SPEC-4: 656 bytes a token, or 584 a stored latent.
    packed = {**LATENT, "cache_dtype_str": "fp8_ds_mla", "compress_ratio": 4}
    assert MLAAttentionSpec(**packed).page_size_bytes == 656 * 64
    assert MLAAttentionSpec(**packed, model_version="deepseek_v4").page_size_bytes == 584 * 16
    window = {**packed, "sliding_window": 64}
    assert SlidingWindowMLASpec(**window, model_version="deepseek_v4").page_size_bytes == 584 * 16
    assert SlidingWindowMLASpec(**window).page_size_bytes == 16 * 576 * 2


def test_a_window_over_latents_knows_two_model_versions() -> None:
    # SPEC-4
    with pytest.raises(ConfigurationError, match="model_version 'v9'"):
        SlidingWindowMLASpec(**LATENT, sliding_window=64, model_version="v9")


@pytest.mark.parametrize(("alignment", "size"), [(1000, 74000), (73728, 73728), (None, 73728)])
def test_latent_pages_are_rounded_up(alignment: int | None, size: int) -> None:
    # SPEC-6
    spec = MLAAttentionSpec(**LATENT, alignment=alignment)
    assert spec.page_size_bytes == size
    assert spec.page_size_padded == (None if size == 73728 else size)
    assert SlidingWindowMLASpec(**LATENT, sliding_window=64, alignment=alignment).page_size_bytes == size


def test_values_have_the_keys_size_unless_told_but_in_a_window_over_latents() -> None:
    # SPEC-7, Q-44
    assert FullAttentionSpec(**SHAPE).head_size_v == 32
    assert SlidingWindowSpec(**SHAPE, sliding_window=64).head_size_v == 32
    assert MLAAttentionSpec(**LATENT).head_size_v == 576
    assert SlidingWindowMLASpec(**LATENT, sliding_window=64).head_size_v is None


def test_a_state_is_the_sum_of_its_tensors() -> None:
    # SPEC-4: 3 · 4 halves and 5 singles.
    spec = MambaSpec(16, ((3, 4), (5,)), (HALF, SINGLE))
    assert spec.page_size_bytes == 24 + 20
    assert replace(spec, page_size_padded=64).page_size_bytes == 64
    with pytest.raises(ConfigurationError, match="less than"):
        _ = replace(spec, page_size_padded=40).page_size_bytes


def test_positional_fields() -> None:
    # SPEC-1: an attention spec takes its block size by position, a Mamba spec takes all its fields so.
    with_keyword = FullAttentionSpec(block_size=16, num_kv_heads=4, head_size=32, dtype=HALF)
    assert FullAttentionSpec(16, num_kv_heads=4, head_size=32, dtype=HALF) == with_keyword
    assert MambaSpec(16, ((8,),), (HALF,), 64, "mamba1", "align", 2) == MambaSpec(
        block_size=16,
        shapes=((8,),),
        dtypes=(HALF,),
        page_size_padded=64,
        mamba_type="mamba1",
        mamba_cache_mode="align",
        num_speculative_blocks=2,
    )


def test_specs_are_equal_in_class_and_fields() -> None:
    full = FullAttentionSpec(**SHAPE)
    assert full == FullAttentionSpec(**SHAPE)
    assert full != FullAttentionSpec(**{**SHAPE, "num_kv_heads": 8})
    assert full != TQFullAttentionSpec(**SHAPE)
    assert FullAttentionSpec(**LATENT) != MLAAttentionSpec(**LATENT)
    assert len({full, FullAttentionSpec(**SHAPE)}) == 1


def test_specs_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        FullAttentionSpec(**SHAPE).block_size = 8  # type: ignore[misc]


def test_a_block_size_is_changed_by_a_copy() -> None:
    # SPEC-3
    assert replace(FullAttentionSpec(**SHAPE), block_size=8).page_size_bytes == 4096


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (KVCacheSpec(16), "unknown"),
        (FullAttentionSpec(**SHAPE), "full_attention"),
        (TQFullAttentionSpec(**SHAPE), "full_attention"),
        (MLAAttentionSpec(**LATENT), "mla_attention"),
        (HiddenStateCacheSpec(**LATENT), "mla_attention"),
        (SinkFullAttentionSpec(**SHAPE), "sink_full_attention"),
        (SlidingWindowSpec(**SHAPE, sliding_window=64), "sliding_window"),
        (SlidingWindowMLASpec(**LATENT, sliding_window=64), "sliding_window_mla"),
        (ChunkedLocalAttentionSpec(**SHAPE, attention_chunk_size=64), "chunked_local_attention"),
        (MambaSpec(16, ((8,),), (HALF,)), "mamba"),
        (CrossAttentionSpec(**SHAPE), "cross_attention"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_each_spec_names_its_kind(spec: KVCacheSpec, kind: str) -> None:
    # SPEC-2
    assert spec.kind == kind


def test_only_windows_that_recycle_count_as_windows() -> None:
    # SPEC-2: a window that full attention records is informational.
    assert window_of(SlidingWindowSpec(**SHAPE, sliding_window=64)) == 64
    assert window_of(SlidingWindowMLASpec(**LATENT, sliding_window=64)) == 64
    assert window_of(FullAttentionSpec(**SHAPE, sliding_window=64)) is None
    assert window_of(MambaSpec(16, ((8,),), (HALF,))) is None


def test_layers_of_one_kind_have_its_kind_and_the_bytes_of_all() -> None:
    # SPEC-2, SPEC-4
    wide = SlidingWindowSpec(**{**SHAPE, "head_size": 64}, sliding_window=8)
    layers = UniformTypeKVCacheSpecs(16, {"a": SlidingWindowSpec(**SHAPE, sliding_window=8), "b": wide})
    assert kind_of(layers) == kind_of(wide) == "sliding_window"
    assert window_of(layers) == 8
    assert layers.page_size_bytes == 3 * wide.page_size_bytes // 2


def test_layers_that_differ_in_kind_or_window_have_none() -> None:
    # SPEC-2
    window = SlidingWindowSpec(**SHAPE, sliding_window=8)
    other = SlidingWindowSpec(**SHAPE, sliding_window=9)
    assert kind_of(UniformTypeKVCacheSpecs(16, {"a": window, "b": FullAttentionSpec(**SHAPE)})) == "unknown"
    assert window_of(UniformTypeKVCacheSpecs(16, {"a": window, "b": other})) is None
    assert window_of(UniformTypeKVCacheSpecs(16, {"a": window, "b": FullAttentionSpec(**SHAPE)})) is None
