"""A real vLLM manager, driven through its public API. `releases` tells how releases differ from 0.23.0.

It runs in the interpreter that has vLLM, beside msgspec and this project's source. The state is read
from the attributes that vLLM's own tests read.
"""

import os
import traceback
from typing import Any

import torch
from vllm.lora.request import LoRARequest
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, KVCacheSpec
from vllm.v1.request import Request

from invariants.view import View
from kvref.errors import ConfigurationError
from kvref.events import KVCacheEvent
from kvref.operations import (
    Allocate,
    ChunkedGroup,
    Configuration,
    ContinueRequest,
    Group,
    Item,
    MambaGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
    StepEnds,
)
from kvref.protocol import STEPS_IN_FLIGHT
from kvref.targets.capabilities import kind_of
from kvref.targets.session import ApiSession
from kvref.targets.vllm import releases
from kvref.targets.vllm.events import event_of
from kvref.targets.vllm.in_flight import StepsInFlight
from kvref.targets.vllm.pictured import view_of

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


def spec_of(group: Group) -> KVCacheSpec:
    """The peer's spec for a group of a trace."""
    kind = releases.SPECS[kind_of(group)]
    if isinstance(group, MambaGroup):
        mode = {"mamba_cache_mode": group.mode} if releases.HAS_MAMBA_MODES else {}
        shapes = ((group.heads, 8),)
        return kind(
            group.block_size,
            shapes,
            (torch.float16,),
            num_speculative_blocks=group.speculative_blocks,
            **mode,
        )
    sizes: dict[str, Any] = {"num_kv_heads": group.heads, "head_size": 8, "dtype": torch.float16}
    match group:
        case SinkGroup(sink=sink):
            sizes["sink_len"] = sink
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            sizes["sliding_window"] = window
        case ChunkedGroup(chunk=chunk):
            sizes["attention_chunk_size"] = chunk
        case _:
            pass
    return kind(group.block_size, **sizes)


class VllmSession(ApiSession):
    """A vLLM manager and the requests that its caller keeps."""

    def __init__(self, configuration: Configuration) -> None:
        """Raises ConfigurationError with what vLLM raised, if it refuses [CFG-3, RETAIN-2]."""
        refused = releases.CAPABILITIES.refuses(configuration)
        if refused is not None:
            raise ConfigurationError(refused)
        try:
            super().__init__(_open(configuration))
        except Exception as refusal:
            raise ConfigurationError(f"{type(refusal).__name__}: {refusal}") from refusal
        if getattr(self.manager.coordinator, "enable_partial_hash_hits", False):
            what = "shares partly filled blocks by copies, which no operation tells"
            raise ConfigurationError(f"{releases.CAPABILITIES.release} {what}")
        self._steps = StepsInFlight() if releases.COUNTS_IN_FLIGHT else None
        self._hash_block_size = configuration.hash_block_size
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
            **releases.REQUEST_EXTRAS,
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
        if releases.DROPS_REPLACED_HASHES:
            del request.block_hashes[operation.computed // self._hash_block_size :]
        request._output_token_ids.clear()  # noqa: SLF001
        kept = len(tokens)
        request.mm_features.extend(_features(operation.items, shift=kept))
        tokens.extend(operation.tokens)
        request.prompt_token_ids = list(tokens)
        request.update_block_hashes()
        request.num_prompt_tokens = len(tokens)

    def look_up(self, request: Request) -> tuple[Any, int]:
        """The hit's blocks and its length. Since 0.26 what the caller owes the request comes along."""
        found, length, *boundary = self.manager.get_computed_blocks(request)
        if boundary:
            (request.shared_prefix_boundary,) = boundary
        return found, length

    def allocate(self, request: Request, found: Any, operation: Allocate) -> Any:
        """`allocate_slots`, with the arguments that this release has."""
        arguments = {name: getattr(operation, field) for field, name in releases.ALLOCATING.items()}
        new = operation.new
        if not releases.HAS_EXTERNAL:
            new += operation.external
        blocks = self.manager.allocate_slots(request, new, operation.hit or 0, found, **arguments)
        if blocks is not None and self._steps is not None:
            self._steps.schedule(request, operation.new)
        return blocks

    def perform(self, operation: Operation) -> Observation:
        """Perform the operation as this release's scheduler does."""
        if self._steps is not None:
            match operation:
                case NewStep():
                    self._steps.begin()
                case StepEnds():
                    self._steps.end()
                case RemoveSkipped(request=name, tokens=tokens):
                    run = max(0, tokens - self.requests[name].num_in_flight_tokens)
                    operation = RemoveSkipped(name, run)
                case _:
                    pass
        if type(operation).__name__ in releases.ABSENT:
            return Observation()
        return super().perform(operation)

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
        return [event_of(event) for event in self.manager.take_events()]

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]. Raises UnpicturableError."""
        return view_of(self.manager)


def _open(configuration: Configuration) -> KVCacheManager:
    os.environ.pop(releases.RETENTION_VARIABLE, None)
    retention = configuration.retention_interval
    kept: dict[str, Any] = {}
    if releases.HAS_RETENTION_FIELD:
        kept[releases.RETENTION_FIELD] = retention
    elif retention is not None:
        os.environ[releases.RETENTION_VARIABLE] = str(retention)
    groups = [
        KVCacheGroupSpec([f"layer.{i}"], spec_of(group), **({"is_eagle_group": True} if group.eagle else {}))
        for i, group in enumerate(configuration.groups)
    ]
    batched = configuration.max_num_batched_tokens
    arguments = {
        "scheduler_block_size": configuration.scheduler_block_size,  # since 0.23; before, worked out
        "hash_block_size": configuration.hash_block_size,
        "max_num_batched_tokens": batched,  # from 0.20 to 0.25
        "max_in_flight_tokens": batched and STEPS_IN_FLIGHT * batched,  # since 0.26
        "use_eagle": configuration.use_eagle,
        "log_stats": configuration.log_stats,
        "enable_kv_cache_events": configuration.enable_kv_cache_events,
        "dcp_world_size": configuration.dcp_world_size,
        "pcp_world_size": configuration.pcp_world_size,
    }
    return KVCacheManager(
        KVCacheConfig(configuration.num_blocks, [], groups, **kept),
        max_model_len=configuration.max_model_len,
        enable_caching=configuration.enable_caching,
        **releases.known(KVCacheManager, arguments),
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
