"""The few facts of the past that an invariant needs.

All of it follows from operations and what they returned: the tokens of each request, and so the
content of its blocks; the last hit; the events. One thing is remembered of what was seen: which
content each key was given to, since a key is opaque but for the content that it stands for.

A content is known twice. `content` is what a block holds, by the definition in `spec.content`;
`format` is what the observed format of keys sees of it. The two tell the same blocks apart but for
three cases, each decided by the requests alone:

* blocks completed behind hashed ones look at the last multimodal item only [Q-10, HASH-12];
* a streaming update drops tokens, but no hash that covers them [Q-11, REQ-7];
* an adapter's name and a salt of the same letters look alike in a first block [HASH-4].

Items are taken to be in order of offset and disjoint [HASH-5].
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from invariants.setting import Setting
from invariants.step import (
    Append,
    Arrive,
    BlocksByGroup,
    Cleared,
    Continue,
    Event,
    LookUp,
    Removed,
    Step,
    Stored,
)
from spec.arithmetic import full_blocks
from spec.content import Extras, Span, extras_of
from spec.units import Tokens

PLAIN = Extras()
"""Those of tokens alone."""

EventCounts = Counter[tuple[int, int]]
"""How many blocks a consumer of events believes cached, by (event hash, group)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The content chain of a full block in its group, as a number, and the key format's view of it."""

    group: int
    content: int
    format: int

    def may_share_key(self, other: "Identity") -> bool:
        """Whether one key may stand for both: they are equal, or the format cannot tell [Q-10, Q-11].

        post: not __return__ or self.group == other.group
        """
        return self.group == other.group and (self.content == other.content or self.format == other.format)


@dataclass(frozen=True, slots=True)
class Hit:
    """What a lookup returned: blocks by group, and their length in tokens."""

    blocks: BlocksByGroup
    length: Tokens


@dataclass(slots=True)
class RequestRecord:
    """A request's tokens and what else decides its content.

    `contents` and `formats` number the chains of its pieces of `hash_block_size` tokens.
    """

    tokens: list[int]
    adapter: str | None
    salt: str | None
    spans: list[Span]
    rows: tuple[bytes, ...] | None
    reads_cache: bool
    contents: list[int] = field(default_factory=list)
    formats: list[int] = field(default_factory=list)
    found: Hit | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing but tokens decides its content."""
        return not (self.adapter is not None or self.salt or self.spans or self.rows is not None)

    def extras(self, start: Tokens, end: Tokens) -> Extras:
        """What besides tokens decides the content of [start, end) [HASH-4].

        pre: 0 <= start < end and all(span.offset >= 0 and span.length >= 0 for span in self.spans)
        post: (__return__.embeddings is None) == (self.rows is None)
        """
        extras = extras_of(start, end, self.spans, adapter=self.adapter, salt=self.salt)
        if self.rows is None:
            return extras
        return replace(extras, embeddings=b"".join(self.rows[start:end]))

    def format_extras(self, start: Tokens, end: Tokens, *, resumed: bool) -> tuple[Hashable, ...]:
        """What a key shows of the extras: one flat sequence, without names [HASH-4, Q-10].

        pre: 0 <= start < end and all(span.offset >= 0 and span.length >= 0 for span in self.spans)
        post: len(__return__) <= 3 + (1 if resumed else len(self.spans))
        """
        extras = self.extras(start, end)
        return (
            *(() if extras.adapter is None else (extras.adapter,)),
            *spans_in_key(self.spans, start, end, resumed=resumed),
            *(() if extras.salt is None else (extras.salt,)),
            *(() if extras.embeddings is None else (extras.embeddings,)),
        )


def spans_in_key(
    spans: Sequence[Span], start: Tokens, end: Tokens, *, resumed: bool
) -> tuple[tuple[str, int], ...]:
    """The items that enter the key of [start, end): all, or `resumed`, only the last one [HASH-5, Q-10].

    pre: 0 <= start < end and all(span.offset >= 0 and span.length >= 0 for span in spans)
    post: len(__return__) <= (1 if resumed else len(spans))
    """
    seen = spans[-1:] if resumed else spans
    reached = takewhile(lambda span: span.offset < end, seen)
    return tuple((span.identifier, span.offset - start) for span in reached if span.overlaps(start, end))


@dataclass(slots=True)
class History:
    """What has happened to a manager with this setting."""

    setting: Setting
    requests: dict[str, RequestRecord] = field(default_factory=dict)
    announced: EventCounts = field(default_factory=Counter)
    owners: dict[bytes, Identity] = field(default_factory=dict)
    keys: dict[Identity, bytes] = field(default_factory=dict)
    _numbers: dict[Hashable, int] = field(default_factory=dict)

    def record(self, step: Step) -> None:
        """Note the inputs and results of `step`."""
        match step.action:
            case Arrive() as new:
                record = RequestRecord(
                    list(new.tokens), new.adapter, new.salt, list(new.spans), new.rows, new.reads_cache
                )
                self.requests[new.request] = record
                self._chain(record)
            case Append(request=name, tokens=tokens):
                record = self.requests[name]
                record.tokens += tokens
                self._chain(record)
            case Continue() as update:
                self._continue(self.requests[update.request], update)
            case LookUp(request=name, blocks=blocks, length=length):
                self.requests[name].found = Hit(blocks, length)
        for event in step.events:
            self._replay(event)

    def learn(self, key: bytes, identity: Identity) -> None:
        """Remember that `key` was given to a block with this content."""
        self.owners.setdefault(key, identity)
        self.keys.setdefault(identity, key)

    def identity(self, request: str, group: int, index: int) -> Identity | None:
        """The content of the request's block `index` in `group`, None while it is not full."""
        record = self.requests.get(request)
        size = self.setting.groups[group].attention.block_size
        last = (index + 1) * size // self.setting.hash_block_size - 1
        if record is None or (index + 1) * size > len(record.tokens) or last >= len(record.contents):
            return None
        return Identity(group, record.contents[last], record.formats[last])

    def _continue(self, record: RequestRecord, update: Continue) -> None:
        del record.tokens[update.computed :]
        kept = len(record.tokens)
        record.spans += [replace(span, offset=Tokens(span.offset + kept)) for span in update.spans]
        record.tokens += update.tokens
        del record.contents[full_blocks(Tokens(kept), self.setting.hash_block_size) :]
        self._chain(record)

    def _chain(self, record: RequestRecord) -> None:
        """Extend both chains to all full pieces."""
        if not self.setting.caching:
            return
        size = self.setting.hash_block_size
        resumed, is_plain = bool(record.formats), record.is_plain
        for index in range(min(len(record.contents), len(record.formats)), len(record.tokens) // size):
            start, end = Tokens(index * size), Tokens((index + 1) * size)
            tokens = tuple(record.tokens[start:end])
            if index == len(record.contents):
                parent = record.contents[-1] if index else None
                extras = PLAIN if is_plain else record.extras(start, end)
                record.contents.append(self._number(("content", parent, tokens, extras)))
            if index == len(record.formats):
                parent = record.formats[-1] if index else None
                shown = () if is_plain else record.format_extras(start, end, resumed=resumed)
                record.formats.append(self._number(("format", parent, tokens, shown)))

    def _number(self, chain: Hashable) -> int:
        return self._numbers.setdefault(chain, len(self._numbers))

    def _replay(self, event: Event) -> None:
        match event:
            case Stored(hashes=hashes, group=group):
                self.announced.update((number, group) for number in hashes)
            case Removed(hashes=hashes, group=group):
                self.announced.subtract((number, group) for number in hashes)
            case Cleared():
                self.announced.clear()
