"""A request as a manager sees it: its tokens, what identifies their content, and its block hashes."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from kvref.hashing import BlockHasher, ExtraKey, ExtraKeys
from spec.units import BlockHash, RequestId, Tokens


@dataclass(frozen=True)
class LoRARequest:
    """The adapter that a request runs with [REQ-1]."""

    lora_name: str
    lora_int_id: int


@dataclass(frozen=True)
class PlaceholderRange:
    """The tokens [offset, offset + length) of a sequence."""

    offset: int
    length: int


@dataclass(frozen=True)
class MultiModalFeature:
    """An item (an image, say) that stands behind a range of placeholder tokens [REQ-1]."""

    identifier: str
    mm_position: PlaceholderRange


class Embeds(Protocol):
    """Embeddings given in place of token ids [REQ-4]."""

    def __len__(self) -> int:
        """The number of tokens."""

    def raw(self, start: int, end: int) -> bytes:
        """The raw bytes of the tokens [start, end), fewer where there are fewer [HASH-4]."""


@dataclass(frozen=True)
class PromptEmbeds:
    """Embeddings given in place of token ids: one row of `row_bytes` bytes a token [REQ-4]."""

    rows: bytes
    row_bytes: int

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.rows) // self.row_bytes

    def raw(self, start: int, end: int) -> bytes:
        """The raw bytes of the rows [start, end), fewer where there are fewer [HASH-4]."""
        return self.rows[start * self.row_bytes : end * self.row_bytes]


class Request:
    """A request and its incremental block hashes [REQ-1 to REQ-7, HASH-12].

    The manager never writes to it [REQ-2]: `num_computed_tokens` and `num_preemptions` are the
    caller's. `num_tokens` counts prompt and output, never drafts.
    """

    def __init__(
        self,
        request_id: RequestId,
        prompt_token_ids: Sequence[int] | None,
        *,
        block_hasher: BlockHasher | None = None,
        lora_request: LoRARequest | None = None,
        mm_features: Sequence[MultiModalFeature] = (),
        cache_salt: str | None = None,
        prompt_embeds: Embeds | None = None,
        skip_reading_prefix_cache: bool = False,
    ) -> None:
        """Hash all full blocks of the prompt [REQ-3]. Raises ValueError without a prompt [REQ-4]."""
        if prompt_token_ids is None and prompt_embeds is None:
            raise ValueError(f"request {request_id}: give prompt_token_ids or prompt_embeds")
        if prompt_token_ids is None and prompt_embeds is not None:
            prompt_token_ids = [0] * len(prompt_embeds)
        assert prompt_token_ids is not None  # noqa: S101 - one of the two was given
        if prompt_embeds is not None and len(prompt_embeds) != len(prompt_token_ids):
            raise ValueError(
                f"request {request_id}: {len(prompt_token_ids)} token ids and "
                f"{len(prompt_embeds)} embeddings; give as many of one as of the other"
            )
        self.request_id = request_id
        self.all_token_ids = list(prompt_token_ids)
        self.num_prompt_tokens = Tokens(len(self.all_token_ids))
        self.num_computed_tokens = Tokens(0)
        self.num_preemptions = 0
        self.lora_request = lora_request
        self.mm_features = list(mm_features)
        self.cache_salt = cache_salt
        self.prompt_embeds = prompt_embeds
        self.skip_reading_prefix_cache = skip_reading_prefix_cache
        self.block_hashes: list[BlockHash] = []
        self._hasher = block_hasher
        self._hash_full_blocks()

    @property
    def num_tokens(self) -> Tokens:
        """Prompt and output tokens, without drafts."""
        return Tokens(len(self.all_token_ids))

    def append_output_token_ids(self, token_ids: int | Sequence[int]) -> None:
        """Append sampled tokens and hash the blocks that became full [REQ-3]."""
        self.all_token_ids.extend([token_ids] if isinstance(token_ids, int) else token_ids)
        self._hash_full_blocks()

    def continue_with(
        self, prompt_token_ids: Sequence[int], mm_features: Sequence[MultiModalFeature] = ()
    ) -> None:
        """A streaming session's next input [REQ-7].

        Tokens that are not computed are dropped, the others become the prompt, and the new input
        follows. Hashes are extended and never truncated, even if they cover dropped tokens [Q-11].
        """
        del self.all_token_ids[self.num_computed_tokens :]
        kept = len(self.all_token_ids)
        self.mm_features.extend(
            MultiModalFeature(
                feature.identifier,
                PlaceholderRange(feature.mm_position.offset + kept, feature.mm_position.length),
            )
            for feature in mm_features
        )
        self.all_token_ids.extend(prompt_token_ids)
        self.num_prompt_tokens = self.num_tokens
        self._hash_full_blocks()

    def _hash_full_blocks(self) -> None:
        """Extend the hashes to all full blocks [HASH-12].

        When hashing goes on behind earlier blocks, only the last item is looked at first [Q-10].
        """
        if self._hasher is None:
            return
        size = self._hasher.block_size
        next_item = -1 if self.block_hashes else 0
        while (end := (len(self.block_hashes) + 1) * size) <= len(self.all_token_ids):
            start = end - size
            keys, next_item = extra_keys(self, start, end, next_item)
            parent = self.block_hashes[-1] if self.block_hashes else None
            tokens = self.all_token_ids[start:end]
            self.block_hashes.append(self._hasher.hash_block(parent, tokens, keys))


def extra_keys(request: Request, start: int, end: int, first_item: int) -> tuple[ExtraKeys, int]:
    """The extra keys of the block [start, end), and the item to go on with [HASH-4, HASH-6].

    In order: adapter name, multimodal items, salt (first block only), digest of the embeddings.
    """
    extras = request.lora_request or request.mm_features or request.cache_salt
    if not extras and request.prompt_embeds is None:
        return None, first_item
    keys: list[ExtraKey] = []
    if request.lora_request is not None:
        keys.append(request.lora_request.lora_name)
    items, next_item = multimodal_keys(request.mm_features, start, end, first_item)
    keys.extend(items)
    if start == 0 and request.cache_salt:
        keys.append(request.cache_salt)
    if request.prompt_embeds is not None:
        keys.append(sha256(request.prompt_embeds.raw(start, end)).digest())
    return (tuple(keys) or None), next_item


def multimodal_keys(
    features: Sequence[MultiModalFeature], start: int, end: int, first_item: int
) -> tuple[list[tuple[str, int]], int]:
    """(identifier, offset in the block) of the items in [start, end) from `first_item` on [HASH-5].

    A negative `first_item` counts from the end; items before it are not looked at. The second
    result is the first item that a later block can still overlap.
    """
    if not features or _end(features[-1]) <= start:
        return [], first_item
    index = first_item + len(features) if first_item < 0 else first_item
    keys: list[tuple[str, int]] = []
    for feature in features[index:]:
        if feature.mm_position.offset >= end:
            break
        if _end(feature) > start:
            keys.append((feature.identifier, feature.mm_position.offset - start))
            if _end(feature) > end:
                break
        index += 1
    return keys, index


def _end(feature: MultiModalFeature) -> int:
    return feature.mm_position.offset + feature.mm_position.length
