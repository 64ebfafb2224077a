"""How many different things there were, told from a bounded memory."""

from hashlib import blake2b
from heapq import nsmallest

import msgspec

KEPT = 4096
BYTES = 8


class Distinct(msgspec.Struct):
    """Counts what is different: exactly below `KEPT`, beyond that to some 1.6 % (one standard deviation).

    It keeps the smallest hashes: if the largest of k lies at the fraction x of all possible ones, there
    were about (k - 1) / x. The union of two sketches is the sketch of the union.
    """

    smallest: set[int] = msgspec.field(default_factory=set)

    def add(self, value: bytes) -> None:
        """Count a value."""
        self.smallest.add(int.from_bytes(blake2b(value, digest_size=BYTES).digest()))
        if len(self.smallest) > KEPT:
            self.smallest.remove(max(self.smallest))

    def merge(self, other: "Distinct") -> None:
        """Count what another has counted."""
        self.smallest |= other.smallest
        if len(self.smallest) > KEPT:
            self.smallest = set(nsmallest(KEPT, self.smallest))

    def __len__(self) -> int:
        """How many different values there were, about."""
        if len(self.smallest) < KEPT:
            return len(self.smallest)
        return (KEPT - 1) * (1 << 8 * BYTES) // max(self.smallest)

    def __str__(self) -> str:
        """The count, and whether it is exact."""
        return f"{'' if len(self.smallest) < KEPT else 'about '}{len(self)}"
