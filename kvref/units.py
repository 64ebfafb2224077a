"""The units that the data types speak in. They are `spec`'s own, so that `spec` knows nothing of kvref."""

from spec.units import BlockHash, BlockId, BlockKey, Blocks, GroupId, RequestId, Tokens

__all__ = ["BlockHash", "BlockId", "BlockKey", "Blocks", "GroupId", "RequestId", "Tokens"]
