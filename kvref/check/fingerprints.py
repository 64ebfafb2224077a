"""Which states were seen, at a few bytes each: sixty-four bits of a hash stand for a state.

Two states with one fingerprint would be taken for one, and the second not be looked at. Among n states
that happens with a probability below n² / 2⁶⁵: one in thirty million for a million states.
"""

from array import array

LEAST = 1 << 10
EMPTY = 0


class Fingerprints:
    """A set of numbers of sixty-four bits, open addressing in one array that is at most half full."""

    def __init__(self) -> None:
        self._count = 0
        self._slots = array("Q", [EMPTY]) * LEAST

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return len(self._slots) * self._slots.itemsize

    def add(self, number: int) -> bool:
        """Add a fingerprint. False if it was there."""
        number = number or 1
        slots, mask = self._slots, len(self._slots) - 1
        at = number & mask
        while (there := slots[at]) != EMPTY:
            if there == number:
                return False
            at = (at + 1) & mask
        slots[at] = number
        self._count += 1
        if 2 * self._count > len(slots):
            self._grow()
        return True

    def _grow(self) -> None:
        old, self._slots = self._slots, array("Q", [EMPTY]) * (2 * len(self._slots))
        self._count = 0
        for number in old:
            if number != EMPTY:
                self.add(number)
