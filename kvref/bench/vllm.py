"""The real vLLM's manager as an implementation. Imported only in an interpreter that has vLLM."""

from collections.abc import Sequence
from typing import Any

from vllm import __version__
from vllm.sampling_params import SamplingParams
from vllm.v1.request import Request

from kvref.operations import Configuration, NewRequest
from kvref.targets.vllm.session import VllmSession


class VllmImplementation:
    """vLLM's manager and requests."""

    release: str = __version__
    name = f"vllm=={__version__}"

    def __init__(self) -> None:
        self._sampling = SamplingParams()
        self._hashing: tuple[Configuration, VllmSession] | None = None

    def manager(self, configuration: Configuration) -> Any:
        """A manager with its own public API."""
        return VllmSession(configuration).manager

    def request(self, name: str, tokens: list[int], hashes: Sequence[bytes]) -> Any:
        """A request whose block hashes are known."""
        request = Request(name, tokens, self._sampling, None, arrival_time=0.0)
        request.block_hashes = list(hashes)
        return request

    def hashed(self, name: str, tokens: list[int], configuration: Configuration) -> Any:
        """A request that hashes its blocks itself."""
        if self._hashing is None or self._hashing[0] != configuration:
            self._hashing = configuration, VllmSession(configuration)
        return self._hashing[1].new_request(NewRequest(name, tuple(tokens)))
