"""Block hashing, blocks and the free queue by vLLM's names [HASH-1 to HASH-11]."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from kvref.compat.vllm.blocks import KVCacheBlock
from kvref.compat.vllm.free_queue import FreeKVCacheBlockQueue
from kvref.compat.vllm.out_of_scope import out_of_scope
from kvref.config import resolve_block_sizes
from kvref.hashing import BlockHasher, ExtraKeys
from kvref.kv_cache_spec import MambaSpec
from kvref.request import Request, extra_keys
from spec import content
from spec.units import BlockHash, GroupId, Tokens
from spec.units import BlockKey as BlockHashWithGroupId

__all__ = [
    "BlockHash",
    "BlockHashListWithBlockSize",
    "BlockHashWithGroupId",
    "FreeKVCacheBlockQueue",
    "KVCacheBlock",
]

RANDOM_ROOT_BYTES = 32

NONE_HASH: BlockHash
"""The parent of every first block; set by `init_none_hash` [HASH-3]."""

get_block_hash = content.hash_of
get_group_id = content.group_of
generate_block_hash_extra_keys = extra_keys

check_enough_kv_cache_memory = out_of_scope("check_enough_kv_cache_memory")
estimate_max_model_len = out_of_scope("estimate_max_model_len")
generate_scheduler_kv_cache_config = out_of_scope("generate_scheduler_kv_cache_config")
get_kv_cache_configs = out_of_scope("get_kv_cache_configs")
get_kv_cache_groups = out_of_scope("get_kv_cache_groups")
get_max_concurrency_for_kv_cache_config = out_of_scope("get_max_concurrency_for_kv_cache_config")
is_kv_cache_spec_uniform = out_of_scope("is_kv_cache_spec_uniform")
unify_hybrid_kv_cache_specs = out_of_scope("unify_hybrid_kv_cache_specs")


def init_none_hash(hash_fn: Callable[[Any], BlockHash]) -> None:
    """Choose the root of all chains: from `PYTHONHASHSEED` if that is set, else at random [HASH-3]."""
    global NONE_HASH  # noqa: PLW0603 - the name that tests read
    seed = os.environ.get("PYTHONHASHSEED")
    NONE_HASH = BlockHash(os.urandom(RANDOM_ROOT_BYTES)) if seed is None else hash_fn(seed)


def get_request_block_hasher(block_size: int, caching_hash_fn: Callable[[Any], BlockHash]) -> BlockHasher:
    """A hasher of blocks of `block_size` tokens [HASH-12]."""
    return BlockHasher(caching_hash_fn, Tokens(block_size), NONE_HASH)


def hash_block_tokens(
    hash_function: Callable[[Any], BlockHash],
    parent_block_hash: BlockHash | None,
    curr_block_token_ids: Sequence[int],
    extra_keys: ExtraKeys = None,
) -> BlockHash:
    """The hash of one full block [HASH-1]."""
    hasher = BlockHasher(hash_function, Tokens(len(curr_block_token_ids)), NONE_HASH)
    return hasher.hash_block(parent_block_hash, curr_block_token_ids, extra_keys)


def make_block_hash_with_group_id(block_hash: BlockHash, group_id: int) -> BlockHashWithGroupId:
    """The key of a block's content in a group [HASH-9]."""
    return content.group_key(block_hash, GroupId(group_id))


def maybe_convert_block_hash(hash_bytes: BlockHash) -> BlockHash | int:
    """How events name a block: by a number, unless the environment asks for bytes [HASH-11]."""
    return content.event_hash(hash_bytes) if events_name_blocks_by_number() else hash_bytes


def events_name_blocks_by_number() -> bool:
    """What the environment asks for, now [HASH-11]."""
    return bool(int(os.environ.get("VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES", "1")))


def need_extra_keys(request: Request) -> bool:
    """Whether more than tokens tells the request's blocks apart [HASH-7]."""
    return bool(request.mm_features or request.lora_request or request.cache_salt is not None)


def tensor_data(tensor: Any) -> memoryview:
    """The raw bytes of a tensor's elements, row after row."""
    import torch  # noqa: PLC0415 - needed by nobody else

    return memoryview(tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy())


def resolve_kv_cache_block_sizes(kv_cache_config: Any, vllm_config: Any) -> tuple[int, int]:
    """The scheduler's and the hash block size of a configuration [CFG-9]."""
    cache, parallel = vllm_config.cache_config, vllm_config.parallel_config
    specs = [group.kv_cache_spec for group in kv_cache_config.kv_cache_groups]
    return resolve_block_sizes(
        [spec.block_size for spec in specs],
        cache_block_size=cache.block_size,
        context_parallel_size=parallel.decode_context_parallel_size * parallel.prefill_context_parallel_size,
        needs_hashes=bool(cache.enable_prefix_caching or vllm_config.kv_transfer_config is not None),
        hash_block_size=cache.hash_block_size,
        mamba_block_sizes=tuple(spec.block_size for spec in specs if isinstance(spec, MambaSpec)),
    )


class BlockHashListWithBlockSize(Sequence[BlockHash]):
    """The hashes of blocks that span several fine blocks each: read from the fine hashes, always [HASH-10, ERR-12]."""

    def __init__(
        self, block_hashes: Sequence[BlockHash], hash_block_size: int, target_block_size: int
    ) -> None:
        if target_block_size % hash_block_size:
            raise AssertionError(f"{target_block_size} is no multiple of {hash_block_size}")
        self.block_hashes = block_hashes
        self.scale_factor = target_block_size // hash_block_size

    def __len__(self) -> int:
        return len(self.block_hashes) // self.scale_factor

    @overload
    def __getitem__(self, index: int) -> BlockHash: ...
    @overload
    def __getitem__(self, index: slice) -> list[BlockHash]: ...

    def __getitem__(self, index: int | slice) -> BlockHash | list[BlockHash]:
        if isinstance(index, int):
            return content.coarse_hash(self.block_hashes, range(len(self))[index], self.scale_factor)
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        raise TypeError(f"Invalid index type: {type(index)}")

    def __iter__(self) -> Iterator[BlockHash]:
        return (self[index] for index in range(len(self)))
