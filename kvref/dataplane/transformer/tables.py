"""What a worker knows of its requests: block tables, put together from what it was told step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from kvref.dataplane.transformer.layers import Kind
from kvref.dataplane.transformer.states import StateSlots
from kvref.operations import MambaGroup


@dataclass(frozen=True)
class Share:
    """One request's part of a step: `tokens` at the positions from `computed` on.

    `rows` logits are wanted, of the last tokens: none within a prompt, else one and one a draft.
    `blocks` by group: the whole table if a life starts (the request is new, or was preempted), else
    what was appended to it.
    """

    request: str
    tokens: Sequence[int]
    computed: int
    rows: int
    blocks: tuple[Sequence[int], ...]
    starts: bool

    @property
    def positions(self) -> range:
        """Where the tokens stand."""
        return range(self.computed, self.computed + len(self.tokens))

    @property
    def drafts(self) -> int:
        """How many of the last tokens may be rejected."""
        return max(0, self.rows - 1)


class BlockTables:
    """Tables by request and group, and by recurrent group where the states lie."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self._kinds = kinds
        self._tables: dict[str, list[list[int]]] = {}
        self._slots: dict[str, dict[int, StateSlots]] = {}

    def follow(self, share: Share) -> None:
        """A step begins: take over the request's table, or what was appended to it.

        A block that is appended once more has moved: its old entry is null from now on [MAMBA-7].
        """
        if share.starts:
            tables = self._tables[share.request] = [list(blocks) for blocks in share.blocks]
            self._slots[share.request] = {
                group: StateSlots.starting(kind.block_size, tables[group], share.computed)
                for group, kind in enumerate(self._kinds)
                if isinstance(kind, MambaGroup)
            }
        else:
            tables = self._tables[share.request]
            for table, appended in zip(tables, share.blocks, strict=True):
                table[:] = [*(0 if block in appended else block for block in table), *appended]
        for group, slots in self._slots[share.request].items():
            slots.begin(tables[group], len(share.tokens), share.drafts)

    def slots_of(self, share: Share, group: int, positions: range) -> tuple[list[int], list[int]]:
        """The blocks that hold these positions, and the offsets in them."""
        table, size = self._tables[share.request][group], self._kinds[group].block_size
        return [table[position // size] for position in positions], [
            position % size for position in positions
        ]

    def states_of(self, share: Share, group: int) -> StateSlots:
        """Where the request's states lie in a recurrent group."""
        return self._slots[share.request][group]

    def settle(self, request: str, computed: int) -> list[tuple[int, int, int]]:
        """`computed` tokens stand: what is to be copied, as (group, from block, to block)."""
        tables = self._tables[request]
        return [
            (group, source, target)
            for group, slots in self._slots[request].items()
            for source, target in slots.settle(tables[group], computed)
        ]

    def forget(self, request: str) -> None:
        """The request's blocks were taken from it."""
        del self._tables[request], self._slots[request]
