"""States that differ in names alone are one state: requests, blocks and tokens are renamed to what they are.

A block is named by the first place that shows it: a table, in the order of requests, groups and entries,
or its place in the free queue. Tokens are named in the order in which they appear. Requests are put in order
of what a scheduler knows of them. States that get the same form are equal up to names; where requests look
alike, two such states may get different forms: that costs time, and nothing is missed.

What two managers keep behind the same picture is not seen: a state stands for all that look like it.
"""

from hashlib import blake2b

import msgspec

from invariants.view import View
from kvref.operations import Configuration
from kvref.protocol import Book, Scheduler
from kvref.targets.inprocess import hasher_of

Digest = bytes
DIGEST_BYTES = 12
HASH_BYTES = 32
GROUP_BYTES = 4
_encoder = msgspec.msgpack.Encoder()


class Contents:
    """The tokens behind a key: the whole prefix that its last hash stands for."""

    def __init__(self, configuration: Configuration) -> None:
        self._size = configuration.hash_block_size
        self._hasher = hasher_of(configuration)
        self._prefixes: dict[bytes, tuple[int, ...]] = {}
        self._known: set[tuple[int, ...]] = set()

    def note(self, tokens: tuple[int, ...]) -> None:
        """Remember what the hashes of a request's blocks stand for."""
        if self._hasher is None or tokens in self._known:
            return
        self._known.add(tokens)
        parent = None
        for end in range(self._size, len(tokens) + 1, self._size):
            parent = self._hasher.hash_block(parent, tokens[end - self._size : end], None)
            self._prefixes[parent] = tokens[:end]

    def of(self, key: bytes) -> tuple[bytes, tuple[int, ...]]:
        """The group and the prefix of a key: hashes, of which the last one tells all, and the group's number."""
        return key[-GROUP_BYTES:], self._prefixes[key[-GROUP_BYTES - HASH_BYTES : -GROUP_BYTES]]


def canonical(
    view: View, scheduler: Scheduler, texts: dict[str, tuple[int, ...]], contents: Contents
) -> Digest:
    """A short hash of the state, names left out. `texts` are the requests' tokens."""
    books = sorted(scheduler.books.values(), key=lambda book: _shape(book, view))
    letters: dict[int, int] = {}
    blocks: dict[int, int] = {0: 0}

    def letter(token: int) -> int:
        return letters.setdefault(token, len(letters))

    def block(number: int) -> int:
        return blocks.setdefault(number, len(blocks))

    def content(key: bytes | None) -> tuple[bytes, list[int]] | None:
        if key is None:
            return None
        group, prefix = contents.of(key)
        return group, [letter(token) for token in prefix]

    requests = [
        (
            _shape(book, view),
            [letter(token) for token in texts[book.name]],
            [[block(entry) for entry in table] for table in view.tables.get(book.name, [])],
        )
        for book in books
    ]
    queue = [block(number) for number in view.free_queue]
    keys = [content(view.keys[number]) for number in blocks]
    holders = sorted([[block(one) for one in held] for _, held in view.prefix_map if len(held) > 1])
    pending = sorted(str(content(key)) for key in view.step_keys)
    state = (requests, queue, keys, holders, pending, scheduler.step is not None)
    return blake2b(_encoder.encode(state), digest_size=DIGEST_BYTES).digest()


def _shape(book: Book, view: View) -> tuple[int | str | bool, ...]:
    """What is known of a request, but for names."""
    return (
        book.phase.value,
        book.tokens,
        book.prompt,
        book.computed,
        book.expected,
        book.due,
        book.scheduled_now,
        *view.handled.get(book.name, ()),
    )
