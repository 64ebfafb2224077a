"""What a recording tells of tokens and of states: worked out from an engine's objects, in the writer's thread."""

import secrets
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


class Contents:
    """What is told of requests' tokens.

    Where ids are not kept, a token is 0, but for the last one of each block that has a hash: this is the
    hash's number, and stands for all before it. So blocks are equal where they were, and nothing else is
    told. It also stands for embeddings, which have no ids.
    """

    def __init__(self, tokens: Content, hash_block_size: int, identities: Identities) -> None:
        self.keeps = tokens == "keep"
        self._identifies = tokens != "none"
        self.hash_block_size = hash_block_size
        self._identities = identities

    def told(self, request: Any, start: int, end: int) -> list[int]:
        """The request's tokens from `start` to `end`. More may have come since; none has changed."""
        if self.keeps and getattr(request, "prompt_embeds", None) is None:
            ids: list[int] = request._all_token_ids[start:end]  # noqa: SLF001 - a view of it would cost more
            return ids
        tokens = [0] * (end - start)
        if self._identifies:
            size = self.hash_block_size
            for block in range(start // size, min(end // size, len(request.block_hashes))):
                tokens[(block + 1) * size - 1 - start] = self._identities.of(request.block_hashes[block])
        return tokens


def snapshot_entry(view: View, live: list[int], identities: Identities) -> tuple[Any, ...]:
    """The entry of a state, of which `live` are the requests by number."""
    number = identities.of_key
    return (
        SNAPSHOT,
        view.ref_counts,
        [number(key) for key in view.keys],
        view.free_queue,
        [(number(key), holders) for key, holders in view.prefix_map],
        live,
        list(view.tables.values()),
        list(view.handled.values()),
        view.reserved,
        [number(key) for key in view.step_keys],
        view.usage,
        view.stats,
    )
