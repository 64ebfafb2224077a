"""The device memory behind block ids: one page a block and layer, whatever kind of layer uses it.

As in a real engine the groups share one pool: the i-th layer of every group lives in the same
tensor, so a block that two groups hold at a time is as wrong as one that two requests write.
Memory starts as NaN: what nobody wrote cannot be read unnoticed, the null block included.
"""

from collections import Counter

import torch
from torch import Tensor

from kvref.dataplane.transformer.layers import DTYPE
from kvref.dataplane.transformer.model import Model
from kvref.operations import MambaGroup


class Memory:
    """Views of the pages by layer: keys and values, or states.

    `keys_values[layer]` is [num_blocks, block size, 2, H, D], `states[layer]` is [num_blocks, H, D, D].
    """

    def __init__(self, model: Model, num_blocks: int) -> None:
        heads, size = model.shape.heads, model.shape.head_size
        page = max(
            heads * size * size if isinstance(kind, MambaGroup) else 2 * kind.block_size * heads * size
            for kind in model.kinds
        )
        nth: Counter[int] = Counter()
        depth = max(Counter(layer.group for layer in model.layers).values())
        pages = torch.full((depth, num_blocks, page), torch.nan, dtype=DTYPE, device=model.device)
        self.keys_values: dict[int, Tensor] = {}
        self.states: dict[int, Tensor] = {}
        self.state_layers: dict[int, list[int]] = {}
        for number, layer in enumerate(model.layers):
            kind, mine = model.kinds[layer.group], pages[nth[layer.group]]
            nth[layer.group] += 1
            if isinstance(kind, MambaGroup):
                self.states[number] = mine[:, : heads * size * size].view(-1, heads, size, size)
                self.state_layers.setdefault(layer.group, []).append(number)
            else:
                used = mine[:, : 2 * kind.block_size * heads * size]
                self.keys_values[number] = used.view(-1, kind.block_size, 2, heads, size)

    def copy_state(self, group: int, source: int, target: int) -> None:
        """Copy the states of all layers of a recurrent group from block to block."""
        for layer in self.state_layers[group]:
            self.states[layer][target] = self.states[layer][source]
