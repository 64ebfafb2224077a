"""Hypothesis draws the same examples in every run, so that a failure here is a failure everywhere.

`pytest --hypothesis-profile=crosshair` lets CrossHair choose them: `make test-symbolic`.
"""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from kvref.targets.vllm import environment
from kvref.targets.vllm.target import VllmTarget
from tests.command import kvref

__all__ = ["kvref"]

settings.register_profile("kvref", derandomize=True, deadline=None)
settings.load_profile("kvref")
if find_spec("hypothesis_crosshair_provider"):
    # Counted examples; a deadline that is never met, for the backend takes its own from it.
    settings.register_profile(
        "crosshair",
        backend="crosshair",
        max_examples=10,
        deadline=10**8,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="session")
def vllm_target() -> Iterator[VllmTarget]:
    """The real vLLM 0.23.0, in an environment of its own."""
    target = VllmTarget(environment.python_for("0.23.0", progress=print))
    yield target
    target.close()
