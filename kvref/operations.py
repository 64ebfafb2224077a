"""The alphabet: a configuration, the operations on a manager built from it, and what they return.

A trace is a configuration and a list of operations. It says nothing of results, so that it can be
replayed on any manager; it is JSON, with a published schema, and its operations are named by their
line (0 is the first). Counts and sizes are in tokens where nothing else is said.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kvref.events import KVCacheEvent

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]


# Configurations


class FullGroup(msgspec.Struct, frozen=True, tag="full", forbid_unknown_fields=True):
    """Full attention; groups with another number of heads have another spec."""

    block_size: Positive
    heads: Positive = 1
    eagle: bool = False


class MLAGroup(msgspec.Struct, frozen=True, tag="mla", forbid_unknown_fields=True):
    """Multi-head latent attention."""

    block_size: Positive
    heads: Positive = 1
    eagle: bool = False


class SinkGroup(msgspec.Struct, frozen=True, tag="sink", forbid_unknown_fields=True):
    """Full attention with `sink` slots set aside for good."""

    block_size: Positive
    sink: Positive
    heads: Positive = 1
    eagle: bool = False


class SlidingGroup(msgspec.Struct, frozen=True, tag="sliding", forbid_unknown_fields=True):
    """Sliding-window attention."""

    block_size: Positive
    window: Positive
    heads: Positive = 1
    eagle: bool = False


class SlidingMLAGroup(msgspec.Struct, frozen=True, tag="sliding_mla", forbid_unknown_fields=True):
    """Sliding-window attention over latents."""

    block_size: Positive
    window: Positive
    heads: Positive = 1
    eagle: bool = False


class ChunkedGroup(msgspec.Struct, frozen=True, tag="chunked", forbid_unknown_fields=True):
    """Chunked local attention."""

    block_size: Positive
    chunk: Positive
    heads: Positive = 1
    eagle: bool = False


class MambaGroup(msgspec.Struct, frozen=True, tag="mamba", forbid_unknown_fields=True):
    """Recurrent layers, with `speculative_blocks` more states a request for drafts."""

    block_size: Positive
    mode: Literal["none", "all", "align"] = "none"
    speculative_blocks: Count = 0
    heads: Positive = 1
    eagle: bool = False


class CrossGroup(msgspec.Struct, frozen=True, tag="cross", forbid_unknown_fields=True):
    """Cross attention to an encoder."""

    block_size: Positive
    heads: Positive = 1
    eagle: bool = False


Group = (
    FullGroup | MLAGroup | SinkGroup | SlidingGroup | SlidingMLAGroup | ChunkedGroup | MambaGroup | CrossGroup
)


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a manager is built from [CFG-1 to CFG-8]. Legal or not: that is the manager's to say."""

    groups: tuple[Group, ...]
    num_blocks: Positive
    max_model_len: Positive
    scheduler_block_size: Positive
    hash_block_size: Positive
    max_num_batched_tokens: Positive | None = None
    enable_caching: bool = True
    use_eagle: bool = False
    log_stats: bool = True
    enable_kv_cache_events: bool = True
    dcp_world_size: Positive = 1
    pcp_world_size: Positive = 1
    retention_interval: int | None = None
    hash_function: Literal["sha256", "sha256_cbor"] = "sha256_cbor"
    hash_seed: str = "0"


# Operations

EMBEDDING_BYTES = 4
"""Embeddings are one float32 a token."""


class Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A multimodal item behind the tokens [offset, offset + length) [REQ-1]."""

    identifier: str
    offset: Count
    length: Positive


class NewRequest(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request arrives: its prompt's full blocks are hashed [REQ-3, REQ-4].

    `embeds` are the raw bytes of one float32 a token, given instead of token ids.
    """

    request: str
    tokens: tuple[int, ...]
    salt: str | None = None
    lora: str | None = None
    items: tuple[Item, ...] = ()
    embeds: bytes | None = None
    skip_reading: bool = False


class AppendTokens(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Sampled tokens are appended, and blocks that became full are hashed [REQ-3, PROTO-5]."""

    request: str
    tokens: tuple[int, ...]


class ContinueRequest(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """A streaming session goes on: tokens from `computed` on are replaced by `tokens` [REQ-7]."""

    request: str
    computed: Count
    tokens: tuple[int, ...]
    items: tuple[Item, ...] = ()


class Lookup(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """`get_computed_blocks` of a request that was preempted so many times [HIT-8]."""

    request: str
    preemptions: Count = 0


class Allocate(msgspec.Struct, frozen=True, tag=True, omit_defaults=True, forbid_unknown_fields=True):
    """`allocate_slots` with the request's `computed` tokens [ALLOC-1].

    `hit` is the number of tokens of the request's last lookup to be used with its blocks, None to
    use none.
    """

    request: str
    computed: Count
    new: int
    hit: Count | None = None
    lookahead: Count = 0
    external: Count = 0
    delay: bool = False
    encoder: Count = 0
    must_fit: bool = False
    reserved: Count = 0


class Free(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`free`: preemption, finish or abort [PROTO-6]."""

    request: str


class CacheBlocks(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`cache_blocks`: external tokens arrived, or delayed tokens were computed [PROTO-3, PROTO-12]."""

    request: str
    tokens: Count


class RemoveSkipped(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`remove_skipped_blocks` [ALLOC-16]."""

    request: str
    tokens: Count


class Evict(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`evict_blocks` [POOL-8]."""

    blocks: tuple[int, ...]


class Reset(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`reset_prefix_cache` [RESET-1]."""


class NewStep(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`new_step_starts` [PROTO-1]."""


class StepEnds(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """The oldest launched step has run: no call, but what it computed is there now [PROTO-5, PROTO-12]."""


class TakeEvents(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`take_events` once more: every operation's events are taken behind it [EVENT-1]."""


class TakeNewBlockIds(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`take_new_block_ids` [IDS-1]."""


class TakeStats(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`make_prefix_cache_stats` [STATS-2]."""


class CommonPrefix(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`get_num_common_prefix_blocks` [COMMON-3]."""

    request: str


class GetBlocks(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """`get_block_ids` [ALLOC-17]."""

    request: str


Operation = (
    NewRequest
    | AppendTokens
    | ContinueRequest
    | Lookup
    | Allocate
    | Free
    | CacheBlocks
    | RemoveSkipped
    | Evict
    | Reset
    | NewStep
    | StepEnds
    | TakeEvents
    | TakeNewBlockIds
    | TakeStats
    | CommonPrefix
    | GetBlocks
)


# Observations

Stats = tuple[bool, int, int, int, int, int, int]


class Observation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an operation returned [OBS-1, OBS-6]. Fields that it does not return are None.

    `blocks` are block ids by group; an `Allocate` without them was refused. `tokens` is a hit
    length. `events` are those that the operation recorded, those of an `Evict` in sorted order
    (Q-19). `error` is the meaning of what was raised, a name of `kvref.errors`.
    """

    blocks: tuple[tuple[int, ...], ...] | None = None
    tokens: int | None = None
    done: bool | None = None
    numbers: tuple[int, ...] | None = None
    stats: Stats | None = None
    events: tuple[KVCacheEvent, ...] = ()
    error: str | None = None


FORMAT: Literal[1] = 1


class Trace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A configuration and the operations on it. `seed` and `case` say where it was drawn from."""

    configuration: Configuration
    operations: tuple[Operation, ...]
    format: Literal[1] = FORMAT
    seed: int | None = None
    case: int | None = None
    note: str | None = None


def trace_schema() -> dict[str, object]:
    """The JSON Schema of a trace file."""
    return msgspec.json.schema(Trace)
