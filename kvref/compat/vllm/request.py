"""A request under vLLM's names, over kvref's own [REQ-1 to REQ-6]."""

from collections.abc import Sequence
from typing import Any

import kvref.request
from kvref.compat.vllm import kv_cache_utils
from kvref.hashing import BlockHasher
from kvref.request import LoRARequest, MultiModalFeature
from spec.units import RequestId, Tokens


class TensorEmbeds:
    """Prompt embeddings in a tensor, one row a token. The bytes of a range are read once [HASH-4]."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self._read: dict[tuple[int, int], bytes] = {}

    def __len__(self) -> int:
        return len(self.tensor)

    def raw(self, start: int, end: int) -> bytes:
        """The raw bytes of the rows [start, end)."""
        if (start, end) not in self._read:
            self._read[start, end] = bytes(kv_cache_utils.tensor_data(self.tensor[start:end]))
        return self._read[start, end]


class Request(kvref.request.Request):
    """A request; what a manager does not read is kept as it was given."""

    def __init__(
        self,
        request_id: str,
        prompt_token_ids: Sequence[int] | None,
        sampling_params: Any,
        pooling_params: Any = None,
        *,
        prompt_embeds: Any = None,
        mm_features: Sequence[MultiModalFeature] | None = None,
        lora_request: LoRARequest | None = None,
        cache_salt: str | None = None,
        block_hasher: BlockHasher | None = None,
        **others: Any,
    ) -> None:
        super().__init__(
            RequestId(request_id),
            prompt_token_ids,
            block_hasher=block_hasher,
            lora_request=lora_request,
            mm_features=mm_features or (),
            cache_salt=cache_salt,
            prompt_embeds=None if prompt_embeds is None else TensorEmbeds(prompt_embeds),
            skip_reading_prefix_cache=bool(
                getattr(sampling_params or pooling_params, "skip_reading_prefix_cache", False)
            ),
        )
        self.sampling_params = sampling_params
        self.pooling_params = pooling_params
        self.prompt_token_ids = prompt_token_ids
        self.spec_token_ids: list[int] = []
        vars(self).update(others)

    @property
    def _all_token_ids(self) -> list[int]:
        return self.all_token_ids

    @property
    def _output_token_ids(self) -> list[int]:
        return self.output_token_ids

    def update_block_hashes(self) -> None:
        """Hash the blocks that became full [HASH-12]."""
        self._hash_full_blocks()

    @property
    def output_token_ids(self) -> list[int]:
        """The sampled tokens."""
        return self.all_token_ids[self.num_prompt_tokens :]

    @property
    def num_output_tokens(self) -> Tokens:
        """How many tokens were sampled."""
        return Tokens(self.num_tokens - self.num_prompt_tokens)

    @property
    def num_tokens_with_spec(self) -> Tokens:
        """All tokens and the drafts behind them [REQ-6]."""
        return Tokens(self.num_tokens + len(self.spec_token_ids))
