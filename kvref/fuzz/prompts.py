"""Random prompts that share prefixes: what arrives in a case."""

import msgspec

from kvref.fuzz.choices import Choices
from kvref.fuzz.weights import Weights
from kvref.operations import EMBEDDING_BYTES, Configuration, Item, NewRequest

VOCABULARY = 40
MAX_ITEMS = 4


class Prompts:
    """Draws the requests of one case; most begin like an earlier one, often up to the end of a block.

    `drawn` has them by name. With `extras`, requests have salts, adapters, images and embeddings.
    """

    def __init__(self, configuration: Configuration, block: int, weights: Weights, *, extras: bool) -> None:
        self.drawn: dict[str, NewRequest] = {}
        self._extras = extras
        self._weights = weights
        self._longest = configuration.max_model_len - 2
        self._block = block

    def draw(self, choices: Choices) -> NewRequest:
        """The next request."""
        block, longest = self._block, self._longest
        name = f"r{len(self.drawn)}"
        parent = self._parent(choices)
        shared: tuple[int, ...] = ()
        if parent is not None:
            length = len(parent.tokens)
            cut = choices.choice((length, length // block * block, choices.integer(0, length)))
            shared = parent.tokens[: min(cut, longest)]
        wanted = choices.choice((0, 1, block, choices.integer(1, longest), choices.integer(1, longest)))
        if choices.chance(self._weights.long_prompt):
            wanted = longest
        fresh = max(0 if shared else 1, min(wanted, longest - len(shared)))
        tokens = shared + choices.integers(fresh, 0, VOCABULARY - 1)
        request = NewRequest(name, tokens, skip_reading=choices.chance(self._weights.skip_reading))
        if self._extras:
            request = self._with_extras(choices, request, parent, len(shared))
        self.drawn[name] = request
        return request

    def plain(self, request: NewRequest) -> NewRequest:
        """The request that was drawn last, with nothing but its tokens."""
        self.drawn[request.request] = plain = NewRequest(request.request, request.tokens)
        return plain

    def _parent(self, choices: Choices) -> NewRequest | None:
        if self.drawn and choices.chance(self._weights.shared_prefix):
            return self.drawn[choices.choice(list(self.drawn))]
        return None

    def _with_extras(
        self, choices: Choices, plain: NewRequest, parent: NewRequest | None, shared: int
    ) -> NewRequest:
        """The same tokens with extras: mostly those of the parent, whose first tokens are `shared`."""
        length = len(plain.tokens)
        if parent is not None and choices.chance(self._weights.shared_extras):
            items = tuple(i for i in parent.items if i.offset + i.length <= length)
            salt, lora, embeds = parent.salt, parent.lora, None
            if parent.embeds:
                fresh = choices.byte() * (EMBEDDING_BYTES * (length - shared))
                embeds = parent.embeds[: EMBEDDING_BYTES * shared] + fresh
        else:
            items, embeds = self.items(choices, length), None
            salt = choices.choice((None, "s1", "s2", ""))
            lora = choices.choice((None, None, "l1", "s1"))
            if choices.chance(self._weights.embeds):
                embeds = choices.byte() * (EMBEDDING_BYTES * length)
        request = NewRequest(
            plain.request,
            (0,) * length if embeds else plain.tokens,
            salt=salt,
            lora=lora,
            items=items,
            embeds=embeds,
            skip_reading=plain.skip_reading,
        )
        return but_for_one(choices, request) if choices.chance(self._weights.almost_same) else request

    def items(self, choices: Choices, length: int) -> tuple[Item, ...]:
        """Some images among so many tokens."""
        items: list[Item] = []
        offset = choices.integer(0, self._block)
        while offset < length and len(items) < MAX_ITEMS and choices.chance(0.6):
            span = choices.integer(1, 2 * self._block)
            if offset + span > length:
                break
            items.append(Item(choices.choice("abc"), offset, span))
            offset += span + choices.integer(0, self._block)
        return tuple(items)


def but_for_one(choices: Choices, request: NewRequest) -> NewRequest:
    """The same request but for one of its extras: where its images begin, which the first is, or the like."""
    items, embeds = request.items, request.embeds
    if items and items[0].offset and choices.chance(0.5):
        moved = tuple(msgspec.structs.replace(item, offset=item.offset - 1) for item in items)
        return msgspec.structs.replace(request, items=moved)
    if items:
        other = msgspec.structs.replace(items[0], identifier=choices.choice("de"))
        return msgspec.structs.replace(request, items=(other, *items[1:]))
    if embeds:
        return msgspec.structs.replace(request, embeds=bytes([embeds[0] ^ 1]) + embeds[1:])
    if choices.chance(0.5):
        return msgspec.structs.replace(request, lora="l2")
    return msgspec.structs.replace(request, salt="s3")
