"""What happened in one operation, in the invariants' own terms: an action, its result, its events.

An action carries its arguments and what it returned. Block ids are by group; 0 is the null block.
Counts are in tokens where nothing else is said.
"""

from dataclasses import dataclass

from spec.content import Span
from spec.units import Tokens

BlocksByGroup = tuple[tuple[int, ...], ...]


# Actions


@dataclass(frozen=True, slots=True)
class Arrive:
    """A request comes with its prompt [REQ-3]. `rows` are embeddings, one a token [REQ-4]."""

    request: str
    tokens: tuple[int, ...]
    adapter: str | None = None
    salt: str | None = None
    spans: tuple[Span, ...] = ()
    rows: tuple[bytes, ...] | None = None
    reads_cache: bool = True


@dataclass(frozen=True, slots=True)
class Append:
    """Sampled tokens follow [REQ-3, PROTO-5]."""

    request: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Continue:
    """A streaming update: `tokens` take the place of everything behind `computed` tokens [REQ-7].

    The offsets of `spans` count from the kept tokens' end.
    """

    request: str
    computed: Tokens
    tokens: tuple[int, ...]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class LookUp:
    """The prefix cache was asked for a hit, and answered `length` tokens in `blocks` [HIT-8]."""

    request: str
    blocks: BlocksByGroup
    length: Tokens


@dataclass(frozen=True, slots=True)
class Allocate:
    """Slots for a step [ALLOC-1]. `hit` None uses no hit; `appended` None is a refusal [ALLOC-7]."""

    request: str
    computed: Tokens
    new: Tokens
    hit: Tokens | None
    lookahead: Tokens
    external: Tokens
    delay: bool
    encoder: Tokens
    must_fit: bool
    appended: BlocksByGroup | None


@dataclass(frozen=True, slots=True)
class Free:
    """The request gives all its blocks back [FREE-1]."""

    request: str


@dataclass(frozen=True, slots=True)
class Cache:
    """The request's first `tokens` tokens are computed: cache what is full [ALLOC-16]."""

    request: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Skip:
    """With `tokens` tokens computed, release what is no longer read [ALLOC-16, SKIP-1]."""

    request: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Evict:
    """Forget the content of these blocks [POOL-8]."""

    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget all content: `done`, or refused because a block is held [RESET-1]."""

    done: bool


@dataclass(frozen=True, slots=True)
class BeginStep:
    """A scheduling step begins [PROTO-1]."""


@dataclass(frozen=True, slots=True)
class TakeStats:
    """The statistics were taken, and start anew [STATS-2]."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Any call that raised: a caller's mistake, by its name, or something unforeseen [ALLOC-1, ALLOC-15]."""

    error: str


@dataclass(frozen=True, slots=True)
class Query:
    """Anything else: a question, or something that happens outside the manager."""


Action = (
    Arrive
    | Append
    | Continue
    | LookUp
    | Allocate
    | Free
    | Cache
    | Skip
    | Evict
    | Reset
    | BeginStep
    | TakeStats
    | Failed
    | Query
)


# Events


@dataclass(frozen=True, slots=True)
class Stored:
    """Blocks of a group, named by their event hashes, can now be found [EVENT-3]."""

    hashes: tuple[int, ...]
    group: int


@dataclass(frozen=True, slots=True)
class Removed:
    """For each hash one block of the group can no longer be found [EVENT-4]."""

    hashes: tuple[int, ...]
    group: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """No block can be found any more [EVENT-5]."""


Event = Stored | Removed | Cleared


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: what was done, and the events that it recorded, in order."""

    action: Action
    events: tuple[Event, ...] = ()
