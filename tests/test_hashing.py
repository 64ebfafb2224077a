"""Block hashes in the observed bytes: HASH-1, HASH-2, HASH-3, HASH-8, ERR-11, OBS-10, Q-20."""

import hashlib
import pickle

import cbor2
import pytest
import xxhash

from kvref.errors import UserError
from kvref.hashing import BlockHasher, get_hash_function
from kvref.request import Request
from spec.units import RequestId, Tokens

VALUE = (b"parent", (1, 2, 3), None)


def test_the_four_functions_are_two_digests_of_two_serializations() -> None:
    # HASH-2
    pickled = pickle.dumps(VALUE, protocol=pickle.HIGHEST_PROTOCOL)
    canonical = cbor2.dumps(VALUE, canonical=True)
    assert get_hash_function("sha256")(VALUE) == hashlib.sha256(pickled).digest()
    assert get_hash_function("sha256_cbor")(VALUE) == hashlib.sha256(canonical).digest()
    assert get_hash_function("xxhash")(VALUE) == xxhash.xxh3_128_digest(pickled)
    assert get_hash_function("xxhash_cbor")(VALUE) == xxhash.xxh3_128_digest(canonical)


def test_an_unknown_function_is_refused() -> None:
    # ERR-11
    with pytest.raises(UserError, match="Unsupported hash function 'md5': choose one of sha256, "):
        get_hash_function("md5")


def test_a_chain_by_hand() -> None:
    # HASH-1, HASH-3, HASH-8: sha256_cbor, seed "0", blocks of 2, 5 tokens.
    def by_hand(value: object) -> bytes:
        return hashlib.sha256(cbor2.dumps(value, canonical=True)).digest()

    root = by_hand("0")
    first = by_hand((root, (11, 12), None))
    second = by_hand((first, (13, 14), None))
    hasher = BlockHasher.seeded("sha256_cbor", Tokens(2), "0")
    assert hasher.root == root
    request = Request(RequestId("a"), [11, 12, 13, 14, 15], block_hasher=hasher)
    assert request.block_hashes == [first, second]
    request.append_output_token_ids(16)
    assert request.block_hashes == [first, second, by_hand((second, (15, 16), None))]


def test_the_bytes_do_not_drift() -> None:
    # Canonical CBOR of (h'', [1, 2], null): 83 40 82 01 02 f6.
    expected = hashlib.sha256(bytes.fromhex("8340820102f6")).digest()
    assert get_hash_function("sha256_cbor")((b"", (1, 2), None)) == expected


def test_an_empty_parent_stands_for_the_root() -> None:
    # HASH-1
    hasher = BlockHasher.seeded("sha256", Tokens(2), "0")
    assert hasher.hash_block(None, [1, 2], None) == hasher.hash_block(hasher.root, [1, 2], None)


def test_another_seed_is_another_chain() -> None:
    # HASH-3, OBS-10
    one, other = (BlockHasher.seeded("sha256_cbor", Tokens(2), seed) for seed in ("0", "1"))
    assert one.hash_block(None, [1, 2], None) != other.hash_block(None, [1, 2], None)


def test_pickled_bytes_tell_one_object_twice_from_two_equal_ones() -> None:
    # the observed bytes are kept; CBOR knows values alone.
    name, equal = "an image", b"an image".decode()
    assert name == equal
    once, twice = ((name, 0), (name, 2)), ((name, 0), (equal, 2))
    assert get_hash_function("sha256")(once) != get_hash_function("sha256")(twice)
    assert get_hash_function("sha256_cbor")(once) == get_hash_function("sha256_cbor")(twice)
