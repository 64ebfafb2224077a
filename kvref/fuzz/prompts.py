"""Random prompts that share prefixes: what arrives in a case."""

from random import Random

from kvref.fuzz.configurations import chance
from kvref.operations import Configuration, Item, NewRequest

VOCABULARY = 40
MAX_ITEMS = 4


class Prompts:
    """Draws the requests of one case; most begin like an earlier one, often up to the end of a block.

    `drawn` has them by name. With `extras`, requests have salts, adapters, images and embeddings.
    """

    def __init__(self, rng: Random, configuration: Configuration, block: int) -> None:
        self.drawn: dict[str, NewRequest] = {}
        # Pickled bytes depend on which strings are one object, which no trace can tell.
        self.extras = configuration.hash_function != "sha256" and chance(rng, 0.45)
        self._rng = rng
        self._longest = configuration.max_model_len - 2
        self._block = block

    def draw(self) -> NewRequest:
        """The next request."""
        rng, block, longest = self._rng, self._block, self._longest
        name = f"r{len(self.drawn)}"
        parent = self.drawn[rng.choice(list(self.drawn))] if self.drawn and chance(rng, 0.75) else None
        shared: tuple[int, ...] = ()
        if parent is not None:
            length = len(parent.tokens)
            cut = rng.choice((length, length // block * block, rng.randint(0, length)))
            shared = parent.tokens[: min(cut, longest)]
        wanted = rng.choice((0, 1, block, rng.randint(1, longest), rng.randint(1, longest)))
        fresh = max(0 if shared else 1, min(wanted, longest - len(shared)))
        tokens = shared + tuple(rng.randrange(VOCABULARY) for _ in range(fresh))
        request = NewRequest(name, tokens, skip_reading=chance(rng, 0.04))
        if self.extras:
            request = self._with_extras(request, parent)
        self.drawn[name] = request
        return request

    def _with_extras(self, plain: NewRequest, parent: NewRequest | None) -> NewRequest:
        rng = self._rng
        length = len(plain.tokens)
        if parent is not None and chance(rng, 0.6):
            items = tuple(i for i in parent.items if i.offset + i.length <= length)
            salt, lora, embeds = parent.salt, parent.lora, None
        else:
            items, embeds = self.items(length), None
            salt = rng.choice((None, "s1", "s2", ""))
            lora = rng.choice((None, None, "l1", "s1"))
            if chance(rng, 0.15):
                embeds = rng.randbytes(1) * (4 * length)
        return NewRequest(
            plain.request,
            (0,) * length if embeds else plain.tokens,
            salt=salt,
            lora=lora,
            items=items,
            embeds=embeds,
            skip_reading=plain.skip_reading,
        )

    def items(self, length: int) -> tuple[Item, ...]:
        """Some images among so many tokens."""
        rng = self._rng
        items: list[Item] = []
        offset = rng.randint(0, self._block)
        while offset < length and len(items) < MAX_ITEMS and chance(rng, 0.6):
            span = rng.randint(1, 2 * self._block)
            if offset + span > length:
                break
            items.append(Item(rng.choice("abc"), offset, span))
            offset += span + rng.randint(0, self._block)
        return tuple(items)
