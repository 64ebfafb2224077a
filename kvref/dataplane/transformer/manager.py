"""The part of a KV cache manager's API that an engine needs."""

from collections.abc import Sequence
from typing import Protocol

from kvref.blocks import KVCacheBlocks
from kvref.events import KVCacheEvent
from kvref.request import Request
from spec.units import BlockId, RequestId, Tokens


class Manager(Protocol):
    """Any manager with vLLM's public API."""

    def new_step_starts(self) -> None:
        """A scheduling step begins."""

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        """The longest hit, and its length in tokens."""

    def allocate_slots(
        self,
        request: Request,
        num_new_tokens: int,
        num_new_computed_tokens: int = 0,
        new_computed_blocks: KVCacheBlocks | None = None,
        num_lookahead_tokens: int = 0,
    ) -> KVCacheBlocks | None:
        """Slots for the request's next step: the blocks appended, None if they do not fit."""

    def get_block_ids(self, request_id: RequestId) -> tuple[Sequence[BlockId], ...]:
        """The request's tables by group."""

    def free(self, request: Request) -> None:
        """Release all blocks of the request."""

    def take_events(self) -> Sequence[KVCacheEvent]:
        """The events since the last call."""
