"""States that differ in names alone are one state: requests, blocks and tokens are renamed to what they are.

Requests are put in order of what is known of them but for names, those that look alike in every order, of
which the least form counts. Then a block is named by the first place that shows it, in a table or in the
free queue, and a token by its first place in a text or in what a block holds. Equal forms are equal states
up to names, and the other way round.

A state is all of the picture but statistics, what a scheduler knows, and what each manager keeps besides
its picture (`kvref.check.hidden`).
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby, permutations, product
from operator import itemgetter

import msgspec

from invariants.view import View
from kvref.check.moves import found_by
from kvref.check.names import Names
from kvref.hashing import BlockHasher
from kvref.operations import Configuration
from kvref.protocol import Book, Scheduled, Scheduler
from kvref.targets.inprocess import hasher_of

HASH_BYTES = 32
GROUP_BYTES = 4
FINGERPRINT_BYTES = 8
_encoder = msgspec.msgpack.Encoder()

Texts = dict[str, tuple[int, ...]]

Shaped = tuple[tuple[object, ...], Book]
"""A request behind all that is known of it but for names."""

Hidden = Callable[[Names], object]
"""What managers keep besides their pictures, names left out."""


class Contents:
    """The tokens behind a key: the whole prefix that its last hash stands for."""

    def __init__(self, configuration: Configuration) -> None:
        self._size = configuration.hash_block_size
        self._hasher: BlockHasher | None = hasher_of(configuration)
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

    def letters(self, view: View, texts: Texts) -> frozenset[int]:
        """The token values that are there: in a text, or in what a block holds."""
        held = [self.of(key)[1] for key in view.keys if key is not None]
        return frozenset().union(*texts.values(), *held)


class Canon:
    """Gives states their fingerprints."""

    def __init__(self, configuration: Configuration) -> None:
        self._contents = Contents(configuration)
        self._prompts_count = configuration.retention_interval is not None

    def letters(self, view: View, texts: Texts) -> frozenset[int]:
        """The token values that are there."""
        return self._contents.letters(view, texts)

    def fingerprint(self, view: View, scheduler: Scheduler, texts: Texts, hidden: Hidden) -> int:
        """Sixty-four bits of a hash of the state, names left out. `texts` are the requests' tokens."""
        for tokens in texts.values():
            self._contents.note(tokens)
        shaped = [(self._shape(book, view), book) for book in scheduler.books.values()]
        forms = [
            _encoder.encode(self._form(view, scheduler, texts, order, hidden)) for order in _orders(shaped)
        ]
        digest = blake2b(forms[0] if len(forms) == 1 else min(forms), digest_size=FINGERPRINT_BYTES).digest()
        return int.from_bytes(digest, "big")

    def _shape(self, book: Book, view: View) -> tuple[object, ...]:
        """What is known of a request, but for names."""
        tables = view.tables.get(book.name, [])
        entries = [[(view.ref_counts[one], view.keys[one] is None) for one in table] for table in tables]
        return (
            book.phase.value,
            book.tokens,
            book.prompt if self._prompts_count else 0,
            book.computed,
            book.expected,
            book.due,
            book.scheduled_now,
            view.handled.get(book.name, []),
            entries,
        )

    def _form(
        self, view: View, scheduler: Scheduler, texts: Texts, order: Sequence[Shaped], hidden: Hidden
    ) -> object:
        names = Names({book.name: at for at, (_, book) in enumerate(order)})
        block, letter = names.block, names.letter
        requests = [
            (
                shape,
                [letter(token) for token in texts[book.name]],
                [[block(entry) for entry in table] for table in view.tables.get(book.name, [])],
            )
            for shape, book in order
        ]
        queue = [block(number) for number in view.free_queue]
        reserved = [block(number) for number in view.reserved]
        held = [(view.ref_counts[number], self._content(view.keys[number], names)) for number in names.blocks]
        holders = sorted([block(one) for one in held] for _, held in view.prefix_map)
        pending = [self._content(key, names) for key in sorted(view.step_keys, key=self._extent)]
        steps = [
            sorted(
                {
                    self._share(share, names)
                    for share in step
                    if scheduler.books.get(share.book.name) is share.book
                }
            )
            for step in (*scheduler.launched, *([] if scheduler.step is None else [scheduler.step]))
        ]
        found = found_by(scheduler)
        return (
            *(requests, queue, reserved, held, holders, pending, view.usage),
            *(len(scheduler.launched), steps, found and (names.requests[found[0]], found[1])),
            hidden(names),
        )

    def _share(self, share: Scheduled, names: Names) -> tuple[int, bool, int]:
        """A request's part in a step. Behind a preemption nothing comes of it, however often that happened."""
        counts = share.life == share.book.preemptions
        return names.requests[share.book.name], counts, share.outputs if counts else 0

    def _content(self, key: bytes | None, names: Names) -> object:
        """What a key stands for, names left out."""
        if key is None:
            return None
        group, prefix = self._contents.of(key)
        return group, [names.letter(token) for token in prefix]

    def _extent(self, key: bytes) -> tuple[bytes, int]:
        group, prefix = self._contents.of(key)
        return group, len(prefix)


def _orders(shaped: list[Shaped]) -> Iterator[Sequence[Shaped]]:
    """The requests by what is known of them, and those that look alike in every order."""
    alike = [list(own) for _, own in groupby(sorted(shaped, key=itemgetter(0)), key=itemgetter(0))]
    for choice in product(*(permutations(own) for own in alike)):
        yield [one for own in choice for one in own]
