"""What a recording is made of: one short array for each call to a manager, in the order of the calls.

A recorder notes plain tuples, since it stands in the way of an engine; they are read as the structs below, of
which the first element tells the kind. Requests are told by number, and by name once, when they arrive. Lengths
are in tokens. Blocks are ids by group; None where they were not recorded.
"""

from typing import Final, Literal

import msgspec

from kvref.operations import Configuration, Item, Stats

Tokens = tuple[int, ...]
Ids = tuple[tuple[int, ...], ...]


class Arrive(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A request is seen for the first time; or told anew, and then `prompt` is how long its prompt was."""

    number: int
    name: str
    tokens: Tokens
    skip_reading: bool = False
    salt: str | None = None
    lora: str | None = None
    items: tuple[Item, ...] = ()
    prompt: int | None = None


class Append(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A request has sampled tokens since it was last seen."""

    number: int
    tokens: Tokens


class Continue(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A streaming session's tokens from `computed` on were replaced."""

    number: int
    computed: int
    tokens: Tokens
    items: tuple[Item, ...] = ()


class LookUp(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """`get_computed_blocks`."""

    number: int
    preemptions: int
    hit: int
    blocks: Ids | None = None


class Grow(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """`allocate_slots` with no more than tokens to compute and lookahead: most calls."""

    number: int
    computed: int
    new: int
    lookahead: int
    granted: bool
    blocks: Ids | None = None


class Admit(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """`allocate_slots` with anything else; `hit` is None where no lookup is used."""

    number: int
    computed: int
    new: int
    lookahead: int
    granted: bool
    blocks: Ids | None = None
    hit: int | None = None
    external: int = 0
    delay: bool = False
    encoder: int = 0
    must_fit: bool = False
    reserved: int = 0


class Release(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """`free`; `gone` if the request will not come again."""

    number: int
    gone: bool


class Cache(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """`cache_blocks`."""

    number: int
    tokens: int


class Skip(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """`remove_skipped_blocks`."""

    number: int
    tokens: int


class Evicted(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """`evict_blocks`."""

    blocks: tuple[int, ...]


class WasReset(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """`reset_prefix_cache`."""

    done: bool


class StepBegins(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """`new_step_starts`."""


class StepHasRun(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The results of the oldest launched step have come: no call to the manager."""


class EventsTaken(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """`take_events`, which returned so many."""

    count: int


class NewIdsTaken(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """`take_new_block_ids`."""

    blocks: tuple[int, ...] | None = None


class StatsTaken(msgspec.Struct, frozen=True, array_like=True, tag=15):
    """`make_prefix_cache_stats`."""

    stats: Stats | None


class PrefixAsked(msgspec.Struct, frozen=True, array_like=True, tag=16):
    """`get_num_common_prefix_blocks`, by group."""

    number: int
    blocks: tuple[int, ...]


class TablesAsked(msgspec.Struct, frozen=True, array_like=True, tag=17):
    """`get_blocks`."""

    number: int
    blocks: Ids | None = None


class Raised(msgspec.Struct, frozen=True, array_like=True, tag=18):
    """A call raised this instead of returning: an allocation is the entry before, others are not told."""

    error: str
    method: str


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """The state of the manager behind the entry before.

    A key is the numbers of the hashes that it begins with, `IDENTITY_BYTES` each, and the number of a group.
    `prefix_map` tells which blocks can be found under each key, oldest first. `live` are the requests
    with a table, by number, in the order of `tables` and `handled`.
    """

    ref_counts: tuple[int, ...]
    keys: tuple[bytes | None, ...]
    free_queue: tuple[int, ...]
    prefix_map: tuple[tuple[bytes, tuple[int, ...]], ...]
    live: tuple[int, ...]
    tables: tuple[Ids, ...]
    handled: tuple[tuple[int, ...], ...]
    reserved: tuple[int, ...]
    step_keys: tuple[bytes, ...]
    usage: float
    stats: Stats | None


class Resumes(msgspec.Struct, frozen=True, array_like=True, tag=20):
    """What follows, up to the next snapshot, tells all anew: each request arrives as it is now."""


class Sampled(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """Each of these requests has sampled one token; where `tokens` are not told, it has completed no block."""

    numbers: tuple[int, ...]
    tokens: Tokens


class Spent(msgspec.Struct, frozen=True):
    """What the recorder itself has taken of the engine's thread so far.

    Of its `notes`, some were `timed`, and took so many `nanoseconds`; `states` took theirs. `elapsed` is how
    long it has been there, in nanoseconds.
    """

    notes: int
    timed: int
    nanoseconds: int
    states: int
    state_nanoseconds: int
    elapsed: int


class Cost(Spent, frozen=True, array_like=True, tag=22):
    """The same, as an entry of a recording."""


Entry = (
    Arrive
    | Append
    | Continue
    | LookUp
    | Grow
    | Admit
    | Release
    | Cache
    | Skip
    | Evicted
    | WasReset
    | StepBegins
    | StepHasRun
    | EventsTaken
    | NewIdsTaken
    | StatsTaken
    | PrefixAsked
    | TablesAsked
    | Raised
    | Snapshot
    | Resumes
    | Sampled
    | Cost
)

Content = Literal["keep", "hash", "none"]
"""What is told of tokens: the ids; numbers that are equal where blocks with all before them are; nothing."""

FORMAT: Final = 2

IDENTITY_BYTES: Final = 8
"""A number that stands for a block's hash takes so many bytes in a key."""


class Header(msgspec.Struct, frozen=True):
    """What a recording begins with. `part` counts the files of one recording, whose `id` they share."""

    configuration: Configuration
    engine: str
    tokens: Content
    blocks: bool
    id: str = ""
    part: int = 0
    format: int = FORMAT
