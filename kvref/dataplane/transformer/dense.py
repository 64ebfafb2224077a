"""The model without any cache: every token is computed anew from all tokens before it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from kvref.dataplane.transformer.layers import DTYPE, Projected, recur, visible
from kvref.dataplane.transformer.model import Layer, Model
from kvref.operations import MambaGroup


def last_logits(model: Model, tokens: Sequence[int]) -> Tensor:
    """The logits [V] of what follows `tokens`."""
    positions = torch.arange(len(tokens), device=model.device)
    seen = [visible(kind, positions, positions) for kind in model.kinds]
    size = model.shape.head_size
    nothing = torch.zeros(model.shape.heads, size, size, dtype=DTYPE, device=model.device)

    def mix(_: int, layer: Layer, projected: Projected) -> Tensor:
        if isinstance(model.kinds[layer.group], MambaGroup):
            return recur(projected, nothing)
        read = (projected.keys, projected.values, positions)
        return model.attend(projected.queries, positions, read, seen[layer.group])

    return model.logits(torch.tensor(tokens, device=model.device), mix, positions[-1:])[0]


def decode(model: Model, prompt: Sequence[int], outputs: int) -> tuple[list[int], Tensor]:
    """The greedy continuation of a prompt, and the logits [outputs, V] that it was chosen by."""
    tokens, rows = list(prompt), []
    for _ in range(outputs):
        rows.append(last_logits(model, tokens))
        tokens.append(int(rows[-1].argmax()))
    return tokens[len(prompt) :], torch.stack(rows)
