"""What a scheduler owes its manager besides the order of calls, so that what it is handed is of use.

A manager knows how far a request has been scheduled, not which of its drafts will be rejected, nor
which token will be computed twice. vLLM's own scheduler does not always take care: `reproducers/` shows
what follows.
"""

from kvref.operations import (
    ChunkedGroup,
    Configuration,
    MambaGroup,
    SlidingGroup,
    SlidingMLAGroup,
)


class Care:
    """The most that a careful scheduler asks for, on one configuration. Counts are in tokens."""

    def __init__(self, configuration: Configuration) -> None:
        groups = configuration.groups
        recurrent = [g for g in groups if isinstance(g, MambaGroup)]
        self._states = [min(g.speculative_blocks, g.block_size - 1) for g in recurrent]
        self._forgets = any(isinstance(g, SlidingGroup | SlidingMLAGroup | ChunkedGroup) for g in groups)
        self._aligned = [g.block_size for g in groups if isinstance(g, MambaGroup) and g.mode == "align"]

    def drafts(self, wanted: int, *, asynchronous: bool) -> int:
        """How many drafts a step may verify.

        There must be a state for each, in a block that is longer; and a window must not forget tokens
        for drafts that may still be rejected, as it would if the next step is allocated before [Q-55].
        """
        return 0 if asynchronous and self._forgets else min([wanted, *self._states])

    def known(self, computed: int, wanted: int) -> int:
        """How many known tokens a step may compute.

        An aligned state in mid-block goes on to the end of its block, and no farther: the end of a
        block within a step leaves no state, but a key if the table has the block [Q-57 to Q-59].
        """
        return min([wanted, *(size - computed % size for size in self._aligned if computed % size)])

    def external(self, hit: int, wanted: int, rest: int) -> int:
        """How many tokens may be loaded.

        The last one is computed, from the window or state before it [Q-56]; an aligned state ends a
        block [Q-59].
        """
        if self._states or self._forgets:
            wanted = min(wanted, rest - 1)
        size = max(self._aligned, default=1)
        return max(0, (hit + wanted) // size * size - hit)
