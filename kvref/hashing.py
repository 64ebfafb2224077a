"""The concrete hash functions over block contents, in the observed byte formats [HASH-1 to HASH-12].

A block's hash is F((parent's hash, token ids, extra keys)). What enters it is decided by
`extra_keys`, whose observed format departs from the identity in `spec.content` in known ways
(Q-10, and an adapter's name is not told apart from a salt). The bytes are kept, because other
systems depend on them.
"""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cbor2

from kvref.errors import UserError
from spec.units import BlockHash, Tokens

ExtraKey = str | bytes | tuple[str, int]
ExtraKeys = tuple[ExtraKey, ...] | None
HashFunction = Callable[[Any], BlockHash]


def _cbor(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _pickle(value: object) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xxh3_128(data: bytes) -> bytes:
    try:
        import xxhash  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as absent:
        raise UserError("the xxhash functions need the package xxhash: pip install xxhash") from absent
    return xxhash.xxh3_128_digest(data)


_SERIALIZERS: dict[str, tuple[Callable[[bytes], bytes], Callable[[object], bytes]]] = {
    "sha256": (_sha256, _pickle),
    "sha256_cbor": (_sha256, _cbor),
    "xxhash": (_xxh3_128, _pickle),
    "xxhash_cbor": (_xxh3_128, _cbor),
}


def get_hash_function(name: str) -> HashFunction:
    """The hash function called `name` [HASH-2]. Raises UserError for an unknown name [ERR-11]."""
    if name not in _SERIALIZERS:
        known = ", ".join(sorted(_SERIALIZERS))
        raise UserError(f"Unsupported hash function {name!r}: choose one of {known}")
    return partial(_hash, *_SERIALIZERS[name])


def _hash(digest: Callable[[bytes], bytes], serialize: Callable[[object], bytes], value: object) -> BlockHash:
    return BlockHash(digest(serialize(value)))


@dataclass(frozen=True)
class BlockHasher:
    """Hashes full blocks of `block_size` tokens with `function`; `root` is the first one's parent.

    The observed system calls the root NONE_HASH and derives it from a seed string [HASH-3].
    """

    function: HashFunction
    block_size: Tokens
    root: BlockHash

    @classmethod
    def seeded(cls, name: str, block_size: Tokens, seed: str) -> "BlockHasher":
        """The hasher whose root is the hash of the seed string [HASH-3]."""
        function = get_hash_function(name)
        return cls(function, block_size, function(seed))

    def hash_block(self, parent: BlockHash | None, tokens: Sequence[int], extra_keys: ExtraKeys) -> BlockHash:
        """The hash of one full block; an absent or empty parent stands for the root [HASH-1]."""
        return self.function((parent or self.root, tuple(tokens), extra_keys))
