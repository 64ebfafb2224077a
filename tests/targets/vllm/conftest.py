from collections.abc import Iterator

import pytest

from kvref.targets.vllm import environment
from kvref.targets.vllm.target import VllmTarget


@pytest.fixture(scope="session")
def vllm_target() -> Iterator[VllmTarget]:
    target = VllmTarget(environment.python_for("0.23.0", progress=print))
    yield target
    target.close()
