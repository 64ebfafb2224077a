"""The prefix map of one group: which blocks hold which content."""

from typing import Final, final

from .runs import Run, Runs


@final
class PrefixMap:
    """By content, the blocks that hold it, the one that was cached first apart [MAP-1, MAP-2].

    A block is filed under its last fine hash alone, for that names all hashes before it [HASH-1].
    Nearly every content is held by one block, so that a lookup is one probe of one dictionary whose
    keys are the request's own hashes.
    """

    def __init__(self, hashes_per_block: int) -> None:
        self.oldest: Final[dict[bytes, int]] = {}
        self.younger: Final[dict[bytes, dict[int, None]]] = {}
        """By name, what else holds the content, in the order of caching."""
        self.hashes_per_block: Final = hashes_per_block
        self.cached_this_step: Final[set[bytes]] = set()
        self.runs: Runs | None = None
        """What makes long lookups short, where it is kept."""

    def keep_runs(self, of: list[Run | None], *, is_full: bool) -> None:
        """Keep runs from now on, while nothing is cached yet."""
        self.runs = Runs(self.oldest, of, is_full=is_full)

    def add(self, names: list[bytes], blocks: list[int]) -> int:
        """File blocks under names, each behind those that hold the same content already [MAP-3].

        How many they are up to the last that is not the oldest: 0 if all of them are.
        """
        answering = list(map(self.oldest.setdefault, names, blocks))
        younger = 0
        if answering != blocks:
            for index, block in enumerate(blocks):
                if answering[index] != block:
                    self.younger.setdefault(names[index], {})[block] = None
                    younger = index + 1
        return younger

    def remove(self, content: bytes, block: int) -> None:
        """Take one block from its content [MAP-4]."""
        name = self.name(content)
        oldest = self.oldest
        younger = self.younger.get(name)
        if younger is None:
            del oldest[name]
            return
        if oldest[name] == block:
            block = next(iter(younger))
            oldest[name] = block
        del younger[block]
        if not younger:
            del self.younger[name]

    def name(self, content: bytes) -> bytes:
        """The last fine hash of a block's content."""
        if self.hashes_per_block == 1:
            return content
        return content[-(len(content) // self.hashes_per_block) :]

    def clear(self) -> None:
        """Forget all content."""
        self.oldest.clear()
        self.younger.clear()
        if self.runs is not None:
            self.runs.clear()

    def holders(self, name: bytes) -> list[int]:
        """The blocks with this content, the one cached first in front."""
        return [self.oldest[name], *self.younger.get(name, ())]
