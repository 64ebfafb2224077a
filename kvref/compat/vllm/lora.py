"""Adapters under vLLM's names [REQ-1]."""

from dataclasses import dataclass

import kvref.request


@dataclass(frozen=True)
class LoRARequest(kvref.request.LoRARequest):
    """An adapter, and where it lies."""

    lora_path: str = ""

    @property
    def name(self) -> str:
        """The adapter's name."""
        return self.lora_name

    @property
    def adapter_id(self) -> int:
        """The adapter's number."""
        return self.lora_int_id
