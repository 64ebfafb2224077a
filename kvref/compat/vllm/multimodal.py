"""Multimodal items under vLLM's names [REQ-1]."""

from dataclasses import dataclass
from typing import Any

import kvref.request


@dataclass(frozen=True)
class PlaceholderRange(kvref.request.PlaceholderRange):
    """The tokens that an item stands behind. Which of them are embeddings is nothing to a manager."""

    is_embed: Any = None


class MultiModalKwargsItem:
    """An item's data, which is nothing to a manager."""

    @classmethod
    def dummy(cls, nbytes: int = 1) -> "MultiModalKwargsItem":
        """An item without data."""
        del nbytes
        return cls()


@dataclass(frozen=True, kw_only=True)
class MultiModalFeatureSpec(kvref.request.MultiModalFeature):
    """An item of a request."""

    data: MultiModalKwargsItem | None = None
    modality: str = "image"
    mm_hash: str | None = None
