"""The units that the semantics counts in, as distinct types so that they cannot be mixed.

Counts of tokens and of blocks, positions included: position 5 is the count of tokens before it.
"""

from typing import NewType

Tokens = NewType("Tokens", int)
"""A count of tokens, or the position that has so many tokens before it."""

Blocks = NewType("Blocks", int)
"""A count of blocks, or the index in a block table that has so many entries before it."""

BlockId = NewType("BlockId", int)
"""The identity of a block in the pool."""

GroupId = NewType("GroupId", int)
"""The position of a KV cache group in the configuration."""

RequestId = NewType("RequestId", str)
"""The caller's name of a request, unique among live requests [PROTO-11]."""

BlockHash = NewType("BlockHash", bytes)
"""The hash of a full block's content chain [HASH-1]."""

BlockKey = NewType("BlockKey", bytes)
"""A block hash made specific to a group: what the prefix map is keyed by [HASH-9]."""

NULL_BLOCK = BlockId(0)
"""The block that stands for "nothing stored here" in block tables [POOL-1, POOL-2]."""
