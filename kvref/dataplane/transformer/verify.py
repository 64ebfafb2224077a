"""What was decoded through the cache, against the same model without any."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Comparison:
    """`identical` tokens; the largest difference of two logits; the narrowest lead of a chosen token.

    Logits are compared up to the first token that differs, after which the texts do. A lead is
    how far the greedy token's logit is above the next: while all leads are wider than the
    difference, no token was chosen by rounding.
    """

    identical: bool
    largest_difference: float
    narrowest_lead: float

    @property
    def agrees(self) -> bool:
        """Whether nothing but rounding tells the two apart."""
        return self.identical and self.largest_difference <= TOLERANCE


def compare(
    paged: Sequence[tuple[Sequence[int], Tensor]], dense: Sequence[tuple[Sequence[int], Tensor]]
) -> Comparison:
    """Compare continuations, each its tokens and their logits [outputs, V]."""
    identical, differences, leads = True, [0.0], [torch.inf]
    for (tokens, rows), (expected, expected_rows) in zip(paged, dense, strict=True):
        same = [mine == theirs for mine, theirs in zip(tokens, expected, strict=True)]
        compared = len(same) if all(same) else same.index(False) + 1
        gaps = (rows[:compared] - expected_rows[:compared]).abs().nan_to_num(nan=torch.inf)
        best = expected_rows.topk(2, dim=-1).values
        identical = identical and all(same)
        differences.append(float(gaps.max()))
        leads.append(float((best[:, 0] - best[:, 1]).min()))
    return Comparison(identical, max(differences), min(leads))
