"""A tiny hybrid decoder with random weights.

A layer mixes tokens, and then thinks about each of them alone. How it gets at the tokens before is
the caller's `Mix`: that is the one thing in which decoding with and without a cache differ. Keys are
rotated by the position that they are *read* at, so a block in a wrong place of a table changes the
result.

Shapes: n tokens, H heads, D elements a head, W the model's width, V the vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor
from torch.nn.functional import gelu, softplus

from kvref.dataplane.transformer.layers import DTYPE, Kind, Projected, normalized

ROTARY_BASE = 100.0
LOGIT_SCALE = 2.0
FAVOUR = 24.0


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; `max_tokens` is the longest sequence."""

    vocabulary: int = 64
    width: int = 32
    heads: int = 2
    head_size: int = 16
    max_tokens: int = 1024


@dataclass(frozen=True)
class Layer:
    """One layer's weights. `group` is the KV cache group that it belongs to."""

    group: int
    qkv: Tensor
    decay: Tensor
    out: Tensor
    up: Tensor
    down: Tensor


Mix = Callable[[int, Layer, Projected], Tensor]
"""(the layer's number, the layer, its projections [n, H, D]) -> the mixed tokens [n, H, D]."""


@dataclass(frozen=True)
class Model:
    """All weights; `kinds` by KV cache group, `rotation` the cosines and sines by position [2, T, 1, D/2]."""

    shape: Shape
    kinds: tuple[Kind, ...]
    layers: tuple[Layer, ...]
    embedding: Tensor
    unembedding: Tensor
    rotation: Tensor

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    def to(self, device: torch.device) -> "Model":
        """The same model on another device."""
        layers = tuple(
            Layer(one.group, *(w.to(device) for w in (one.qkv, one.decay, one.out, one.up, one.down)))
            for one in self.layers
        )
        moved = (weights.to(device) for weights in (self.embedding, self.unembedding, self.rotation))
        return Model(self.shape, self.kinds, layers, *moved)

    def logits(self, tokens: Tensor, mix: Mix, rows: Tensor | None = None) -> Tensor:
        """The logits [n, V] of `tokens` [n], or of those at the indexes `rows` alone."""
        hidden = self.embedding[tokens]
        for number, layer in enumerate(self.layers):
            mixed = mix(number, layer, project(self.shape, layer, normalized(hidden)))
            hidden = hidden + mixed.flatten(1) @ layer.out
            hidden = hidden + gelu(normalized(hidden) @ layer.up) @ layer.down
        chosen = hidden if rows is None else hidden[rows]
        return normalized(chosen) @ self.unembedding

    def rotated(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Queries or keys [n, H, D] turned by their positions [n]."""
        cosine, sine = self.rotation[0, positions], self.rotation[1, positions]
        even, odd = vectors.chunk(2, dim=-1)
        return torch.cat((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)

    def attend(
        self, queries: Tensor, at: Tensor, read: tuple[Tensor, Tensor, Tensor], seen: Tensor
    ) -> Tensor:
        """Attention [n, H, D] of queries at positions `at` [n].

        `read`: keys and values [k, H, D] and the keys' positions [k]; `seen`: who reads whom [n, k].
        """
        keys, values, positions = read
        turned = self.rotated(queries, at).transpose(0, 1)
        scores = turned @ self.rotated(keys, positions).permute(1, 2, 0) / sqrt(self.shape.head_size)
        weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
        return (weights @ values.transpose(0, 1)).transpose(0, 1)


def random_model(kinds: tuple[Kind, ...], layers: tuple[int, ...], shape: Shape, seed: int) -> Model:
    """A model on the CPU whose weights follow from the seed; `layers` gives each layer's group.

    Every token has a favourite successor, so that texts repeat themselves and drafts can be right.
    """
    random = torch.Generator().manual_seed(seed)

    def weights(rows: int, columns: int, scale: float = 1.0) -> Tensor:
        return torch.randn(rows, columns, generator=random, dtype=DTYPE) * (scale / sqrt(rows))

    width, inner = shape.width, shape.heads * shape.head_size
    frequencies = ROTARY_BASE ** (-torch.arange(0, 1, 2 / shape.head_size, dtype=DTYPE))
    angles = torch.arange(shape.max_tokens, dtype=DTYPE)[:, None, None] * frequencies
    embedding = weights(shape.vocabulary, width, sqrt(shape.vocabulary))
    successors = torch.randint(shape.vocabulary, (shape.vocabulary,), generator=random)
    favours = torch.zeros_like(embedding).index_add(0, successors, embedding)
    return Model(
        shape,
        kinds,
        tuple(
            Layer(
                group,
                weights(width, 3 * inner),
                weights(width, shape.heads),
                weights(inner, width, 2.0),
                weights(width, 2 * width),
                weights(2 * width, width),
            )
            for group in layers
        ),
        embedding,
        weights(width, shape.vocabulary, LOGIT_SCALE) + FAVOUR * favours.T / width,
        torch.stack((angles.cos(), angles.sin())),
    )


def project(shape: Shape, layer: Layer, hidden: Tensor) -> Projected:
    """The projections of normalized hidden states [n, W]."""
    queries, keys, values = (hidden @ layer.qkv).view(-1, 3, shape.heads, shape.head_size).unbind(1)
    return Projected(queries, keys, values, -softplus(hidden @ layer.decay - 2.0))
