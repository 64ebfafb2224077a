"""The layers: what each kind reads, and that a recurrent layer can be cut anywhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kvref.dataplane.transformer.dense import decode, last_logits
from kvref.dataplane.transformer.layers import DTYPE, Kind, Projected, first_key, recur, state_after, visible
from kvref.dataplane.transformer.model import Model, random_model
from kvref.kv_cache_spec import KVCacheSpec
from kvref.reference.groups import attention_of
from kvref.targets.inprocess import spec_of
from spec.units import Tokens
from tests.dataplane.transformer.small import CHUNKED, FULL, HYBRID, MAMBA, SHAPE, SLIDING


def model_of(*kinds: Kind) -> Model:
    return random_model(kinds, tuple(range(len(kinds))), SHAPE, seed=5)


@pytest.mark.parametrize("kind", [FULL, SLIDING, CHUNKED])
def test_a_layer_reads_what_spec_says_is_still_read(kind: Kind) -> None:
    spec: KVCacheSpec = spec_of(kind)
    positions = torch.arange(40)
    skipped = [attention_of(spec, 1).skipped_tokens(Tokens(position)) for position in range(40)]
    assert first_key(kind, positions).tolist() == skipped
    seen = visible(kind, positions, positions)
    assert [[key for key in range(40) if seen[query, key]] for query in range(40)] == [
        list(range(first, query + 1)) for query, first in enumerate(skipped)
    ]


def random_projection(tokens: int, seed: int) -> Projected:
    random = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=DTYPE)

    heads, size = 2, 3
    queries, keys, values = (numbers(tokens, heads, size) for _ in range(3))
    return Projected(queries, keys, values, -numbers(tokens, heads).abs())


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 12), st.integers(0, 99), st.data())
def test_a_recurrent_layer_can_be_cut_anywhere(tokens: int, seed: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, tokens))
    whole, nothing = random_projection(tokens, seed), torch.zeros(2, 3, 3, dtype=DTYPE)
    outputs = recur(whole, nothing)
    middle = state_after(whole, nothing, cut)
    assert torch.allclose(recur(whole.of(slice(0, cut)), nothing), outputs[:cut], atol=1e-12)
    if cut < tokens:
        rest = whole.of(slice(cut, tokens))
        assert torch.allclose(recur(rest, middle), outputs[cut:], atol=1e-12)
        assert torch.allclose(
            state_after(rest, middle, tokens - cut), state_after(whole, nothing, tokens), atol=1e-12
        )


def test_a_recurrent_layer_is_its_recurrence() -> None:
    projected = random_projection(5, seed=1)
    state = torch.zeros(2, 3, 3, dtype=DTYPE)
    outputs = []
    for t in range(5):
        keys, values = projected.keys[t] / 3**0.5, projected.values[t]
        state = projected.log_decay[t].exp()[:, None, None] * state + keys[:, :, None] * values[:, None, :]
        outputs.append((projected.queries[t][:, :, None] * state).sum(1))
    assert torch.allclose(recur(projected, torch.zeros_like(state)), torch.stack(outputs), atol=1e-12)
    assert torch.allclose(state_after(projected, torch.zeros_like(state), 5), state, atol=1e-12)


@pytest.mark.parametrize("kind", [FULL, SLIDING, CHUNKED, MAMBA])
def test_order_matters_and_the_future_does_not(kind: Kind) -> None:
    model = model_of(kind)
    plain, swapped = last_logits(model, [1, 2, 3, 4, 5, 6]), last_logits(model, [1, 2, 3, 5, 4, 6])
    assert float((plain - swapped).abs().max()) > 0.01
    tokens, rows = decode(model, [1, 2, 3, 4], 3)
    assert torch.equal(rows[2], last_logits(model, [1, 2, 3, 4, *tokens[:2]]))


def test_a_model_follows_from_its_seed_and_moves_whole() -> None:
    model, again = model_of(*HYBRID), model_of(*HYBRID).to(torch.device("cpu"))
    assert torch.equal(last_logits(model, [1, 2, 3]), last_logits(again, [1, 2, 3]))
    other = random_model(HYBRID, (0, 1, 2, 3), SHAPE, seed=6)
    assert not torch.equal(last_logits(model, [1, 2, 3]), last_logits(other, [1, 2, 3]))
