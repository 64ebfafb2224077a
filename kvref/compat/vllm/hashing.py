"""The hash functions by vLLM's names [HASH-2]."""

from kvref.hashing import get_hash_function

sha256 = get_hash_function("sha256")
sha256_cbor = get_hash_function("sha256_cbor")
xxhash = get_hash_function("xxhash")
xxhash_cbor = get_hash_function("xxhash_cbor")
get_hash_fn_by_name = get_hash_function
