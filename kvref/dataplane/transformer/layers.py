"""What a layer does to tokens, as pure functions: who reads whom, and a recurrent layer's state.

The kinds are those of the KV cache groups: full, sliding-window and chunked local attention, and a
recurrent state. What they read is stated here anew, so that a mistake in `spec` would show.

Shapes: n tokens, H heads, D elements a head, W the model's width.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from kvref.operations import ChunkedGroup, FullGroup, MambaGroup, SlidingGroup

Kind = FullGroup | SlidingGroup | ChunkedGroup | MambaGroup
DTYPE = torch.float64


@dataclass(frozen=True)
class Projected:
    """What a layer makes of n tokens: three times [n, H, D], and the logarithm of the decay [n, H].

    A recurrent layer reads its state with the queries, and adds keys and values to it.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    log_decay: Tensor

    def of(self, tokens: slice) -> "Projected":
        """Those of a part of the tokens."""
        return Projected(self.queries[tokens], self.keys[tokens], self.values[tokens], self.log_decay[tokens])


def normalized(hidden: Tensor) -> Tensor:
    """Every row of [n, W] at unit root mean square."""
    return hidden * (hidden.square().mean(dim=-1, keepdim=True) + 1e-6).rsqrt()


def first_key(kind: Kind, position: Tensor) -> Tensor:
    """The first position that the token at `position` reads, elementwise. A recurrent layer reads no keys."""
    match kind:
        case SlidingGroup(window=window):
            return (position - window + 1).clamp(min=0)
        case ChunkedGroup(chunk=chunk):
            return position - position % chunk
        case _:
            return torch.zeros_like(position)


def visible(kind: Kind, queries: Tensor, keys: Tensor) -> Tensor:
    """Which query position [n] reads which key position [k]: [n, k], never one behind itself."""
    return (keys <= queries[:, None]) & (keys >= first_key(kind, queries)[:, None])


def recur(projected: Projected, state: Tensor) -> Tensor:
    """What a recurrent layer reads [n, H, D] at each of n tokens that follow `state` [H, D, D].

    The state decays by a token's factor, gains the outer product of its key and value, and is read
    with its query. Written as sums over the tokens, so nothing is stepped through one by one.
    """
    queries, keys, values = (
        projected.queries,
        projected.keys / sqrt(projected.keys.shape[-1]),
        projected.values,
    )
    decayed = projected.log_decay.cumsum(0).T
    gaps = decayed[:, :, None] - decayed[:, None, :]
    later = torch.ones_like(gaps[0], dtype=torch.bool).triu(1)
    scores = torch.einsum("thd,shd->hts", queries, keys) * gaps.masked_fill(later, -torch.inf).exp()
    own = torch.einsum("hts,shd->thd", scores, values)
    before = torch.einsum("thd,hde,ht->the", queries, state, decayed.exp())
    return own + before


def state_after(projected: Projected, state: Tensor, count: int) -> Tensor:
    """The state [H, D, D] that follows `state` and the first `count` tokens."""
    keys, values = projected.keys[:count] / sqrt(projected.keys.shape[-1]), projected.values[:count]
    decayed = projected.log_decay[:count].cumsum(0)
    remaining = (decayed[-1] - decayed).exp()
    return decayed[-1].exp()[:, None, None] * state + torch.einsum("sh,shd,she->hde", remaining, keys, values)
