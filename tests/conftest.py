"""Hypothesis draws the same examples in every run, so that a failure here is a failure everywhere."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from kvref.targets.vllm import environment
from kvref.targets.vllm.target import VllmTarget

settings.register_profile("kvref", derandomize=True, deadline=None)
settings.load_profile("kvref")


@pytest.fixture(scope="session")
def vllm_target() -> Iterator[VllmTarget]:
    """The real vLLM 0.23.0, in an environment of its own."""
    target = VllmTarget(environment.python_for("0.23.0", progress=print))
    yield target
    target.close()
