"""What a block holds, and when two blocks are the same block.

The keys and values of a token depend on every token before it, and on whatever else the model saw:
the adapter, the images behind placeholder tokens, the embeddings given in place of tokens. So the
identity of a full block is the chain of all blocks up to it [HASH-1]:

    content = (parent's content, tokens, extras)

Two blocks are interchangeable if and only if their content chains and their groups are equal. A
manager knows contents by their hashes; where the observed format of hash keys conflates two
contents (Q-10, Q-11, an adapter's name that equals a salt), the chain here still tells them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from spec.arithmetic import full_blocks
from spec.units import BlockHash, BlockKey, GroupId, Tokens

GROUP_ID_BYTES = 4


@dataclass(frozen=True)
class Span:
    """An item (an image, say) that stands behind the tokens [offset, offset + length).

    inv: self.offset >= 0 and self.length >= 0
    """

    identifier: str
    offset: Tokens
    length: Tokens

    def overlaps(self, start: Tokens, end: Tokens) -> bool:
        """Whether any of the item's tokens lies in [start, end) [HASH-5].

        pre: 0 <= start < end
        post: __return__ == (self.length > 0 and self.offset < end and start < self.offset + self.length)
        """
        return max(start, self.offset) < min(end, self.offset + self.length)


@dataclass(frozen=True)
class Extras:
    """What besides token ids decides the content of a block [HASH-4]."""

    adapter: str | None = None
    salt: str | None = None
    spans: tuple[tuple[str, int], ...] = ()
    embeddings: bytes | None = None


@dataclass(frozen=True)
class Content:
    """The content chain of a full block. `parent` is None for the first block of a request."""

    parent: "Content | None"
    tokens: tuple[int, ...]
    extras: Extras


def extras_of(
    start: Tokens, end: Tokens, spans: Sequence[Span], *, adapter: str | None, salt: str | None
) -> Extras:
    """The extras of the block [start, end) of a request without prompt embeddings [HASH-4, HASH-5].

    An item is known by its identifier and where it starts relative to the block. The salt counts
    once, in the first block: every later block inherits it through the chain.

    pre: 0 <= start < end
    post: __return__.salt == (None if start > 0 or not salt else salt)
    post: __return__.adapter == adapter and __return__.embeddings is None
    post: [name for name, _ in __return__.spans] == [s.identifier for s in spans if s.overlaps(start, end)]
    post: all(offset + start in [s.offset for s in spans] for _, offset in __return__.spans)
    """
    return Extras(
        adapter=adapter,
        salt=salt if salt and start == 0 else None,
        spans=tuple((span.identifier, span.offset - start) for span in spans if span.overlaps(start, end)),
    )


def chain(tokens: Sequence[int], block_size: Tokens, extras: Sequence[Extras]) -> list[Content]:
    """The contents of all full blocks of a sequence of tokens, first to last [HASH-1, HASH-8].

    `extras` has one entry for each full block.

    pre: block_size > 0 and len(extras) == len(tokens) // block_size
    post: len(__return__) == len(tokens) // block_size
    post: [token for own in __return__ for token in own.tokens] == list(tokens[:len(__return__) * block_size])
    post: [own.extras for own in __return__] == list(extras)
    post: [own.parent for own in __return__] == [None, *__return__][:len(__return__)]
    """
    contents: list[Content] = []
    for index in range(full_blocks(Tokens(len(tokens)), block_size)):
        parent = contents[-1] if contents else None
        own = tuple(tokens[index * block_size : (index + 1) * block_size])
        contents.append(Content(parent, own, extras[index]))
    return contents


def group_key(block_hash: BlockHash, group: GroupId) -> BlockKey:
    """A block hash made specific to a group, whose layers hold other numbers [HASH-9].

    pre: 0 <= group < 2**32
    post: hash_of(__return__) == block_hash
    post: group_of(__return__) == group
    """
    return BlockKey(block_hash + group.to_bytes(GROUP_ID_BYTES, "big"))


def hash_of(key: BlockKey) -> BlockHash:
    """The block hash in a key [HASH-9].

    pre: len(key) >= GROUP_ID_BYTES
    post: key.startswith(__return__)
    post: len(__return__) + GROUP_ID_BYTES == len(key)
    """
    return BlockHash(key[:-GROUP_ID_BYTES])


def group_of(key: BlockKey) -> GroupId:
    """The group in a key [HASH-9].

    pre: len(key) >= GROUP_ID_BYTES
    post: 0 <= __return__ < 2**32
    post: key.endswith(__return__.to_bytes(4, "big"))
    """
    return GroupId(int.from_bytes(key[-GROUP_ID_BYTES:], "big"))


def coarse_hash(fine: Sequence[BlockHash], index: int, blocks_a_block: int) -> BlockHash:
    """The hash of a block that spans `blocks_a_block` fine blocks: their hashes, joined [HASH-10].

    pre: index >= 0 and blocks_a_block > 0 and (index + 1) * blocks_a_block <= len(fine)
    post: len(__return__) == sum(len(h) for h in fine[index*blocks_a_block:(index+1)*blocks_a_block])
    post: __return__.startswith(fine[index * blocks_a_block])
    post: __return__.endswith(fine[(index + 1) * blocks_a_block - 1])
    """
    start = index * blocks_a_block
    return BlockHash(b"".join(fine[start : start + blocks_a_block]))


def event_hash(block_hash: BlockHash) -> int:
    """The number that events name a block hash by: its last 8 bytes [HASH-11].

    For a coarse block that is the number of its last fine block [Q-14].

    post: 0 <= __return__ < 2**64
    post: __return__ % 256 == (block_hash[-1] if block_hash else 0)
    """
    return int.from_bytes(block_hash[-8:], "big")
