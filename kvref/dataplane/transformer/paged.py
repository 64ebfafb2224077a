"""The model through paged memory: it finds earlier tokens by block tables, and by nothing else.

In a layer all keys and values of a step are written before any is read, so a request may hit what
another one computes in the same step; a recurrent layer reads all states before it writes any.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvref.dataplane.transformer.layers import DTYPE, Projected, first_key, recur, state_after, visible
from kvref.dataplane.transformer.memory import Memory
from kvref.dataplane.transformer.model import Layer, Model
from kvref.dataplane.transformer.tables import BlockTables, Share
from kvref.operations import MambaGroup


@dataclass(frozen=True)
class Reading:
    """What one request reads in one group: slots (blocks, offsets) [k], positions [k], who reads whom [n, k]."""

    slots: tuple[Tensor, Tensor]
    positions: Tensor
    seen: Tensor


class PagedModel:
    """A worker: the model, block tables as it was told them, and paged memory."""

    def __init__(self, model: Model, num_blocks: int) -> None:
        self.model = model
        self.memory = Memory(model, num_blocks)
        self.tables = BlockTables(model.kinds)

    def execute(self, shares: Sequence[Share]) -> list[Tensor]:
        """Compute one step; the logits [rows, V] by share."""
        for share in shares:
            self.tables.follow(share)
        counts = [len(share.tokens) for share in shares]
        at = [self._tensor(share.positions) for share in shares]
        writing: dict[int, tuple[Tensor, Tensor]] = {}
        reading: dict[int, list[Reading]] = {}
        for group, kind in enumerate(self.model.kinds):
            if not isinstance(kind, MambaGroup):
                writing[group] = self._writing(shares, group)
                reading[group] = [self._reading(*pair, group) for pair in zip(shares, at, strict=True)]

        def mix(number: int, layer: Layer, projected: Projected) -> Tensor:
            group = layer.group
            if group not in writing:
                return self._recur(shares, number, group, projected)
            pages = self.memory.keys_values[number]
            pages[writing[group]] = torch.stack((projected.keys, projected.values), dim=1)
            mixed = []
            for queries, own, read in zip(
                torch.split(projected.queries, counts), at, reading[group], strict=True
            ):
                keys, values = pages[read.slots].unbind(1)
                mixed.append(self.model.attend(queries, own, (keys, values, read.positions), read.seen))
            return torch.cat(mixed)

        tokens = self._tensor([token for share in shares for token in share.tokens])
        ends = torch.tensor(counts).cumsum(0).tolist()
        rows = [row for share, end in zip(shares, ends, strict=True) for row in range(end - share.rows, end)]
        logits = self.model.logits(tokens, mix, self._tensor(rows))
        return list(torch.split(logits, [share.rows for share in shares]))

    def settle(self, request: str, computed: int) -> None:
        """`computed` tokens of the request stand; what the last step computed behind them was rejected."""
        for group, source, target in self.tables.settle(request, computed):
            self.memory.copy_state(group, source, target)

    def forget(self, request: str) -> None:
        """The request is preempted, or done."""
        self.tables.forget(request)

    def _tensor(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.model.device)

    def _writing(self, shares: Sequence[Share], group: int) -> tuple[Tensor, Tensor]:
        """The slots (blocks, offsets) of the step's tokens, in order."""
        slots = [self.tables.slots_of(share, group, share.positions) for share in shares]
        blocks, offsets = (
            [number for part in parts for number in part] for parts in zip(*slots, strict=True)
        )
        return self._tensor(blocks), self._tensor(offsets)

    def _reading(self, share: Share, at: Tensor, group: int) -> Reading:
        kind = self.model.kinds[group]
        span = range(int(first_key(kind, torch.tensor(share.computed))), share.positions.stop)
        blocks, offsets = self.tables.slots_of(share, group, span)
        positions = self._tensor(span)
        return Reading((self._tensor(blocks), self._tensor(offsets)), positions, visible(kind, at, positions))

    def _recur(self, shares: Sequence[Share], number: int, group: int, projected: Projected) -> Tensor:
        states = self.memory.states[number]
        slots = [self.tables.states_of(share, group) for share in shares]
        nothing = torch.zeros(states.shape[1:], dtype=DTYPE, device=self.model.device)
        before = [nothing if slot.source is None else states[slot.source].clone() for slot in slots]
        mixed, start = [], 0
        for share, slot, state in zip(shares, slots, before, strict=True):
            part = projected.of(slice(start, start + len(share.tokens)))
            start += len(share.tokens)
            mixed.append(recur(part, state))
            for end, block in slot.written.items():
                states[block] = state_after(part, state, end - share.computed)
        return torch.cat(mixed)
