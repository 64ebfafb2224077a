"""Parts of a recording's entries that are worked out when they are written, in the writer's thread."""

import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from invariants.view import View
from kvref.operations import Configuration
from kvref.record.entries import IDENTITY_BYTES, Content

IDENTITY_BITS: Final = 52
GROUP_BYTES: Final = 4
SNAPSHOT: Final = 19


class Identities:
    """Numbers that stand for blocks' hashes, equal where the hashes are; their key is never written."""

    def __init__(self, configuration: Configuration, key: bytes | None = None) -> None:
        factor = configuration.dcp_world_size * configuration.pcp_world_size
        self._key = key if key is not None else secrets.token_bytes(16)
        self._pieces = [
            max(1, group.block_size * factor // configuration.hash_block_size)
            for group in configuration.groups
        ]

    def of(self, block_hash: bytes) -> int:
        """The number of a block's hash: not 0."""
        digest = blake2b(block_hash, digest_size=8, key=self._key).digest()
        return 1 + (int.from_bytes(digest, "big") >> (64 - IDENTITY_BITS))

    def of_key(self, key: bytes | None) -> bytes | None:
        """A key of the prefix map, with numbers for the hashes that it begins with."""
        if key is None:
            return None
        hashes, group = key[:-GROUP_BYTES], key[-GROUP_BYTES:]
        size = len(hashes) // self._pieces[int.from_bytes(group, "big")]
        numbers = [self.of(hashes[at : at + size]) for at in range(0, len(hashes), size)]
        return b"".join(number.to_bytes(IDENTITY_BYTES, "big") for number in numbers) + group


class LateIds:
    """Block ids by group."""

    __slots__ = ("_rows",)

    def __init__(self, blocks: Any) -> None:
        # The lists may be the manager's own: what is in them now is kept.
        self._rows = [tuple(row) for row in blocks.blocks]

    def value(self) -> object:
        """The ids."""
        return [[block.block_id for block in row] for row in self._rows]


class Contents:
    """What is told of requests' tokens."""

    def __init__(self, tokens: Content, hash_block_size: int, identities: Identities) -> None:
        self.keeps = tokens == "keep"
        self.identifies = tokens != "none"
        self.hash_block_size = hash_block_size
        self.identities = identities

    def late(self, request: Any, start: int) -> "LateTokens":
        """The request's tokens from `start` on, as they are now."""
        return LateTokens(self, request, start)


class LateTokens:
    """Tokens of a request, or what stands for them.

    Where ids are not kept, a token is 0, but for the last one of each block that has a hash: this is the
    hash's number, and stands for all before it. So blocks are equal where they were, and nothing else is
    told. It also stands for embeddings, which have no ids.
    """

    __slots__ = ("_contents", "_end", "_hashes", "_start", "_tokens")

    def __init__(self, contents: Contents, request: Any, start: int) -> None:
        tokens = request._all_token_ids  # noqa: SLF001 - a copy, and no view of it, is taken
        self._contents = contents
        self._start = start
        self._end = len(tokens)
        self._tokens: list[int] | None = None
        self._hashes: Sequence[bytes] = ()
        if contents.keeps and getattr(request, "prompt_embeds", None) is None:
            self._tokens = tokens[start:]
        elif contents.identifies:
            self._hashes = request.block_hashes[start // contents.hash_block_size :]

    def value(self) -> object:
        """The tokens."""
        if self._tokens is not None:
            return self._tokens
        size, start = self._contents.hash_block_size, self._start
        tokens = [0] * (self._end - start)
        for index, block_hash in enumerate(self._hashes, start // size):
            last = (index + 1) * size - 1 - start
            if 0 <= last < len(tokens):
                tokens[last] = self._contents.identities.of(block_hash)
        return tokens


class LateSnapshot:
    """A view, with numbers for keys."""

    __slots__ = ("_identities", "_live", "_view")

    def __init__(self, view: View, live: list[int], identities: Identities) -> None:
        self._view = view
        self._live = live
        self._identities = identities

    def value(self) -> object:
        """The fields of a `Snapshot`, with its tag."""
        view, number = self._view, self._identities.of_key
        return (
            SNAPSHOT,
            view.ref_counts,
            [number(key) for key in view.keys],
            view.free_queue,
            [(number(key), holders) for key, holders in view.prefix_map],
            self._live,
            list(view.tables.values()),
            list(view.handled.values()),
            view.reserved,
            [number(key) for key in view.step_keys],
            view.usage,
            view.stats,
        )
