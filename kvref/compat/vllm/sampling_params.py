"""The one thing of sampling that a manager reads: whether a request skips the prefix cache [REQ-5]."""

from typing import Any


class SamplingParams:
    """Prompt logprobs need every prompt token computed, so that they skip reading, unless told otherwise."""

    def __init__(
        self,
        *,
        prompt_logprobs: int | None = None,
        skip_reading_prefix_cache: bool | None = None,
        **others: Any,
    ) -> None:
        self.prompt_logprobs = prompt_logprobs
        asked = skip_reading_prefix_cache
        self.skip_reading_prefix_cache = prompt_logprobs is not None if asked is None else asked
        vars(self).update(others)

    def update_from_generation_config(self, generation_config: dict[str, Any], **others: Any) -> None:
        """Tell what stops generation, which is nothing to a manager."""


class PoolingParams:
    """What a request without sampling is asked for."""

    skip_reading_prefix_cache: bool | None = None
