"""What a slot can hold, as 64-bit numbers: equal numbers mean equal content.

The content of a token's slot is the chain of everything that its keys and values depend on: adapter,
salt, and each token up to it with the image or the embedding in its place (`spec.content`). Chains are
numbered as they are met, so that two of them never share a number, as hashes could.
"""

from collections.abc import Hashable, Sequence
from typing import Final, final

from kvref.operations import EMBEDDING_BYTES, Item, NewRequest

NOTHING: Final = 0
"""What memory holds before anything is written."""

FOREIGN: Final = -1
"""What another group wrote, whose layers hold something else."""

SINK: Final = -2
"""What every token reads before its own: an attention sink, in blocks that are set aside [SINK-1]."""

AHEAD: Final = -3
"""What a draft head writes behind a step's tokens, in the slots that were asked for it [ALLOC-4]."""


@final
class Contents:
    """Numbers for contents: positive for chains, negative for what nobody may ever read."""

    def __init__(self) -> None:
        self._numbers: Final[dict[Hashable, int]] = {}
        self._useless = AHEAD

    def _number(self, content: Hashable) -> int:
        return self._numbers.setdefault(content, len(self._numbers) + 1)

    def useless(self) -> int:
        """Content that equals no other: of a rejected draft, of a load that did not happen."""
        self._useless -= 1
        return self._useless

    def root(self, request: NewRequest) -> int:
        """What precedes the first token: the security domain that the request lives in [HASH-4]."""
        return self._number(("adapter", request.lora or None, "salt", request.salt or None))

    def of_prompt(self, request: NewRequest) -> list[int]:
        """The contents of a request's prompt, by position."""
        embeds = request.embeds
        if embeds is None:
            return self.chain(self.root(request), request.tokens, request.items)
        rows = [embeds[at : at + EMBEDDING_BYTES] for at in range(0, len(embeds), EMBEDDING_BYTES)]
        return self.chain(self.root(request), rows, request.items)

    def chain(self, parent: int, tokens: Sequence[Hashable], items: Sequence[Item] = ()) -> list[int]:
        """The contents of `tokens`, which follow `parent`; `items` have their offsets among them."""
        seen: dict[int, tuple[Hashable, ...]] = {}
        for item in items:
            for inside in range(item.length):
                at = item.offset + inside
                seen[at] = (*seen.get(at, ()), item.identifier, inside)
        numbers = []
        for at, token in enumerate(tokens):
            parent = self._number((parent, token, seen[at]) if at in seen else (parent, token))
            numbers.append(parent)
        return numbers
