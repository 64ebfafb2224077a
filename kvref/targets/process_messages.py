"""What kvref and a driver say to each other: JSON lines, over the driver's standard input and output.

A driver is a process around a manager, in any language. It is asked, and answers, one line each; the answer
repeats the question's `id`. `docs/drivers.md` tells it to who writes one; the JSON Schema there is made
from these classes.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kvref.operations import Configuration, Operation

PROTOCOL: Literal[1] = 1

Level = Literal["safe", "hits", "exact"]
"""What a driver offers to be held to; each includes the ones before it."""

LEVELS: tuple[Level, ...] = ("safe", "hits", "exact")

MOST = 2**53 - 1
"""The largest whole number that every JSON reader keeps."""

Number = Annotated[int, Meta(ge=0, le=MOST)]
Offset = Annotated[int, Meta(ge=-MOST, le=MOST)]
Hash = str
"""A block hash in hexadecimal, as a call has handed it out; those of several blocks are joined."""

Kind = Literal["full", "mla", "sink", "sliding", "sliding_mla", "chunked", "mamba", "cross"]
Optional = Literal[
    "ContinueRequest",
    "CacheBlocks",
    "RemoveSkipped",
    "Evict",
    "Reset",
    "TakeEvents",
    "TakeNewBlockIds",
    "TakeStats",
    "CommonPrefix",
]
Argument = Literal["external", "delay", "encoder", "must_fit", "reserved"]
Feature = Literal["salt", "lora", "items", "embeds", "skip_reading"]


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the driver's manager can be asked. What is left out is not there, and never asked for.

    `operations` are those that not every manager has, `arguments` fields of an `Allocate`, `requests`
    fields of a `NewRequest`. Without `block_sizes` all groups have the block size that is hashed.
    `caching_off` tells a manager that can do without a prefix cache, `mistakes` one that names what a
    caller does wrong.
    """

    groups: tuple[Kind, ...]
    mamba_modes: tuple[Literal["none", "all", "align"], ...] = ()
    operations: tuple[Optional, ...] = ()
    arguments: tuple[Argument, ...] = ()
    requests: tuple[Feature, ...] = ()
    several_groups: bool = False
    block_sizes: bool = False
    caching_off: bool = False
    eagle: bool = False
    decode_context_parallel: bool = False
    prefill_context_parallel: bool = False
    retention: bool = False
    mistakes: bool = False


# Questions


class Hello(msgspec.Struct, frozen=True, tag="hello", forbid_unknown_fields=True):
    """Who are you? The first question; `protocol` is kvref's version."""

    id: Number
    protocol: Number


class Open(msgspec.Struct, frozen=True, tag="open", forbid_unknown_fields=True):
    """Build a manager, and let go of the one before."""

    id: Number
    configuration: Configuration


class Call(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An operation. `hashes` are those of the request's blocks that the operation has made full.

    In order, and of `hash_block_size` tokens each; two are equal exactly if the blocks are interchangeable.
    """

    operation: Operation
    hashes: tuple[Hash, ...] = ()


class Apply(msgspec.Struct, frozen=True, tag="apply", forbid_unknown_fields=True):
    """Perform these operations in order; with `snapshots`, show the manager's state behind each."""

    id: Number
    calls: tuple[Call, ...]
    snapshots: bool


class Look(msgspec.Struct, frozen=True, tag="snapshot", forbid_unknown_fields=True):
    """Show the manager's state, now."""

    id: Number


class Close(msgspec.Struct, frozen=True, tag="close", forbid_unknown_fields=True):
    """End. No answer is read any more."""

    id: Number


Question = Hello | Open | Apply | Look | Close


# Answers


class Stored(msgspec.Struct, frozen=True, tag="BlockStored", forbid_unknown_fields=True):
    """Blocks of one request and group entered the prefix cache [EVENT-3]. Blocks are named by hash."""

    block_hashes: tuple[Hash, ...]
    parent_block_hash: Hash | None
    token_ids: tuple[Number, ...]
    block_size: Number
    lora_id: Number | None = None
    lora_name: str | None = None
    medium: str | None = None
    extra_keys: tuple[tuple[str | tuple[str, Offset], ...] | None, ...] | None = None
    group_idx: Number = 0
    kv_cache_spec_kind: str | None = None
    kv_cache_spec_sliding_window: Number | None = None


class Removed(msgspec.Struct, frozen=True, tag="BlockRemoved", forbid_unknown_fields=True):
    """One block left the prefix cache [EVENT-4]."""

    block_hashes: tuple[Hash, ...]
    medium: str | None = None
    group_idx: Number = 0


class Cleared(msgspec.Struct, frozen=True, tag="AllBlocksCleared", forbid_unknown_fields=True):
    """The whole prefix cache was emptied [EVENT-5]."""


Event = Stored | Removed | Cleared
StatsNumbers = tuple[bool, Number, Number, Number, Number, Number, Number]
Mistake = Literal[
    "NothingToAllocateError",
    "ForeignHitError",
    "UnhashedTokensError",
    "UnknownBlockError",
    "NegativeCountError",
]


class Seen(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an operation returned; see the page for which fields. `events` are asked for at level exact."""

    blocks: tuple[tuple[Number, ...], ...] | None = None
    tokens: Number | None = None
    done: bool | None = None
    numbers: tuple[Number, ...] | None = None
    stats: StatsNumbers | None = None
    events: tuple[Event, ...] = ()
    error: Mistake | None = None


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The manager's state, as `invariants.View` tells it.

    A key is the block's hash, and its group as eight hexadecimal digits behind it.
    """

    ref_counts: list[Number]
    keys: list[str | None]
    free_queue: list[Number]
    prefix_map: list[tuple[str, list[Number]]]
    tables: dict[str, list[list[Number]]]
    handled: dict[str, list[Number]]
    usage: float
    stats: StatsNumbers | None = None
    reserved: list[Number] = []
    step_keys: list[str] = []


class Introduction(msgspec.Struct, frozen=True, tag="hello", forbid_unknown_fields=True):
    """Who the driver is, and the most that it offers to be held to."""

    id: Number
    protocol: Number
    name: str
    level: Level
    capabilities: Offer


class Opened(msgspec.Struct, frozen=True, tag="opened", forbid_unknown_fields=True):
    """The manager is there."""

    id: Number


class Refused(msgspec.Struct, frozen=True, tag="refused", forbid_unknown_fields=True):
    """No manager can honour this configuration."""

    id: Number
    reason: str


class Applied(msgspec.Struct, frozen=True, tag="applied", forbid_unknown_fields=True, omit_defaults=True):
    """What the operations returned, in order. One with an `error` is the last one that was performed."""

    id: Number
    observations: tuple[Seen, ...]
    snapshots: tuple[Snapshot, ...] = ()


class Shown(msgspec.Struct, frozen=True, tag="snapshot", forbid_unknown_fields=True):
    """The manager's state."""

    id: Number
    snapshot: Snapshot


class Failed(msgspec.Struct, frozen=True, tag="failed", forbid_unknown_fields=True):
    """The driver cannot go on with this manager, and says why. It may be asked to open another one."""

    id: Number
    reason: str


Answer = Introduction | Opened | Refused | Applied | Shown | Failed


class Version(msgspec.Struct, frozen=True):
    """What every version of the protocol answers first, whatever else it says."""

    protocol: Number


def driver_schema() -> dict[str, Any]:
    """The JSON Schema of a line: `questions` are written to a driver, `answers` are read from it."""
    (questions, answers), definitions = msgspec.json.schema_components(
        (Question, Answer), ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"kvref driver protocol {PROTOCOL}",
        "$defs": definitions | {"questions": questions, "answers": answers},
        "anyOf": [{"$ref": "#/$defs/questions"}, {"$ref": "#/$defs/answers"}],
    }
