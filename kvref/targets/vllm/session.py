"""A real vLLM 0.23.0 manager, driven through its public API. The one module that imports vLLM.

It runs in the interpreter that has vLLM, beside msgspec and this project's source. The state is read
from the attributes that vLLM's own tests read.
"""

import os
import traceback
from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from vllm.lora.request import LoRARequest
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SinkFullAttentionSpec,
    SlidingWindowMLASpec,
    SlidingWindowSpec,
)
from vllm.v1.request import Request

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent, event_keys
from kvref.operations import (
    ChunkedGroup,
    Configuration,
    ContinueRequest,
    CrossGroup,
    FullGroup,
    Group,
    Item,
    MambaGroup,
    MLAGroup,
    NewRequest,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.targets.session import ApiSession, picture_map, stats_of
from spec.units import GroupId

RETENTION_VARIABLE = "VLLM_PREFIX_CACHE_RETENTION_INTERVAL"
LORA_ID = 7

_MEANING_OF_PHRASE = {
    "num_new_tokens must be greater than 0": "NothingToAllocateError",
    "should be empty when prefix caching is disabled": "ForeignHitError",
    "Invalid block_id": "UnknownBlockError",
}
_MEANING_BY_PLACE = {
    "get_num_blocks_to_allocate": "ForeignHitError",
    "allocate_new_computed_blocks": "ForeignHitError",
    "cache_full_blocks": "UnhashedTokensError",
}


def spec_of(group: Group) -> KVCacheSpec:  # noqa: PLR0911 - one line a kind
    """The peer's spec for a group of a trace."""
    size = group.block_size
    sizes: dict[str, Any] = {"num_kv_heads": group.heads, "head_size": 8, "dtype": torch.float16}
    match group:
        case FullGroup():
            return FullAttentionSpec(size, **sizes)
        case MLAGroup():
            return MLAAttentionSpec(size, **sizes)
        case SinkGroup(sink=sink):
            return SinkFullAttentionSpec(size, **sizes, sink_len=sink)
        case SlidingGroup(window=window):
            return SlidingWindowSpec(size, **sizes, sliding_window=window)
        case SlidingMLAGroup(window=window):
            return SlidingWindowMLASpec(size, **sizes, sliding_window=window)
        case ChunkedGroup(chunk=chunk):
            return ChunkedLocalAttentionSpec(size, **sizes, attention_chunk_size=chunk)
        case MambaGroup(mode=mode, speculative_blocks=speculative):
            return MambaSpec(
                size,
                ((group.heads, 8),),
                (torch.float16,),
                mamba_cache_mode=mode,
                num_speculative_blocks=speculative,
            )
        case CrossGroup():
            return CrossAttentionSpec(size, **sizes)


class VllmSession(ApiSession):
    """A vLLM manager and the requests that its caller keeps."""

    def __init__(self, configuration: Configuration) -> None:
        """Raises ConfigurationError with what vLLM raised, if it refuses [CFG-3, RETAIN-2]."""
        try:
            super().__init__(_open(configuration))
        except Exception as refusal:
            raise ConfigurationError(f"{type(refusal).__name__}: {refusal}") from refusal
        os.environ["PYTHONHASHSEED"] = configuration.hash_seed
        function = get_hash_fn_by_name(configuration.hash_function)
        init_none_hash(function)
        self._hasher = (
            get_request_block_hasher(configuration.hash_block_size, function)
            if configuration.enable_caching
            else None
        )

    def new_request(self, operation: NewRequest) -> Request:
        """The peer's request object."""
        embeds = None
        if operation.embeds is not None:
            rows = torch.frombuffer(bytearray(operation.embeds), dtype=torch.float32)
            embeds = rows.reshape(-1, 1)
        return Request(
            operation.request,
            list(operation.tokens),
            SamplingParams(skip_reading_prefix_cache=operation.skip_reading),
            None,
            arrival_time=0.0,
            prompt_embeds=embeds,
            mm_features=_features(operation.items),
            lora_request=LoRARequest(operation.lora, LORA_ID, "path") if operation.lora else None,
            cache_salt=operation.salt,
            block_hasher=self._hasher,
        )

    def continue_request(self, request: Request, operation: ContinueRequest) -> None:
        """What vLLM's scheduler does to a streaming session's request [REQ-7]."""
        tokens = request._all_token_ids  # noqa: SLF001 - the scheduler reaches in as well
        del tokens[operation.computed :]
        request._output_token_ids.clear()  # noqa: SLF001
        kept = len(tokens)
        request.mm_features.extend(_features(operation.items, shift=kept))
        tokens.extend(operation.tokens)
        request.prompt_token_ids = list(tokens)
        request.update_block_hashes()
        request.num_prompt_tokens = len(tokens)

    def meaning(self, error: Exception) -> str:
        """The caller's mistake behind what vLLM raised; else the class and text of the error."""
        for phrase, meaning in _MEANING_OF_PHRASE.items():
            if phrase in str(error):
                return meaning
        if isinstance(error, AssertionError | IndexError):
            for frame in reversed(traceback.extract_tb(error.__traceback__)):
                if frame.name in _MEANING_BY_PLACE:
                    return _MEANING_BY_PLACE[frame.name]
        return f"{type(error).__name__}: {error}"

    def drain_events(self) -> list[KVCacheEvent]:
        """The peer's events as ours, field by field [EVENT-2]."""
        return [_event(event) for event in self.manager.take_events()]

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        pool = self.manager.block_pool
        groups = self.manager.coordinator.single_type_managers
        names = sorted({name for group in groups for name in group.req_to_blocks})
        tables = {
            name: [[b.block_id for b in group.req_to_blocks.get(name, ())] for group in groups]
            for name in names
        }
        held = {name: table for name, table in tables.items() if any(table)}
        ref_counts = [block.ref_cnt for block in pool.blocks]
        ref_counts[0] = 0  # the null block's counter drifts
        return View(
            ref_counts=ref_counts,
            keys=[block.block_hash for block in pool.blocks],
            free_queue=[block.block_id for block in pool.free_block_queue.get_all_free_blocks()],
            prefix_map=picture_map(
                [
                    (key, list(holders) if isinstance(holders, Mapping) else [holders.block_id])
                    for key, holders in pool.cached_block_hash_to_block._cache.items()  # noqa: SLF001
                ]
            ),
            tables=held,
            handled={name: [group.num_cached_block.get(name, 0) for group in groups] for name in held},
            reserved=[block.block_id for group in groups for block in getattr(group, "sink_blocks", ())],
            step_keys=sorted(
                key for group in groups for key in getattr(group, "cached_blocks_this_step", ())
            ),
            usage=self.manager.usage,
            stats=stats_of(self.manager.prefix_cache_stats),
        )


def _open(configuration: Configuration) -> KVCacheManager:
    os.environ.pop(RETENTION_VARIABLE, None)
    if configuration.retention_interval is not None:
        os.environ[RETENTION_VARIABLE] = str(configuration.retention_interval)
    groups = [
        KVCacheGroupSpec([f"layer.{i}"], spec_of(group), group.eagle)
        for i, group in enumerate(configuration.groups)
    ]
    sizes = {"scheduler_block_size": configuration.scheduler_block_size}
    if "scheduler_block_size" not in signature(KVCacheManager).parameters:
        sizes = {}  # releases before 0.23.0 work it out from the groups
    return KVCacheManager(
        KVCacheConfig(configuration.num_blocks, [], groups),
        max_model_len=configuration.max_model_len,
        hash_block_size=configuration.hash_block_size,
        max_num_batched_tokens=configuration.max_num_batched_tokens,
        enable_caching=configuration.enable_caching,
        use_eagle=configuration.use_eagle,
        log_stats=configuration.log_stats,
        enable_kv_cache_events=configuration.enable_kv_cache_events,
        dcp_world_size=configuration.dcp_world_size,
        pcp_world_size=configuration.pcp_world_size,
        **sizes,
    )


def _features(items: tuple[Item, ...], shift: int = 0) -> list[MultiModalFeatureSpec]:
    return [
        MultiModalFeatureSpec(
            data=None,
            modality="image",
            identifier=item.identifier,
            mm_position=PlaceholderRange(offset=item.offset + shift, length=item.length),
        )
        for item in items
    ]


def _event(event: Any) -> KVCacheEvent:
    kind = type(event).__name__
    if kind == "BlockRemoved":
        return BlockRemoved(tuple(event.block_hashes), event.medium, event.group_idx)
    if kind == "AllBlocksCleared":
        return AllBlocksCleared()
    return BlockStored(
        block_hashes=tuple(event.block_hashes),
        parent_block_hash=event.parent_block_hash,
        token_ids=tuple(event.token_ids),
        block_size=event.block_size,
        lora_id=event.lora_id,
        medium=event.medium,
        lora_name=event.lora_name,
        extra_keys=tuple(event_keys(keys) for keys in event.extra_keys) if event.extra_keys else None,
        group_idx=None if event.group_idx is None else GroupId(event.group_idx),
        kv_cache_spec_kind=event.kv_cache_spec_kind,
        kv_cache_spec_sliding_window=event.kv_cache_spec_sliding_window,
    )
