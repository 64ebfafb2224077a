"""The views are views: the real vLLM's own driver, over them, sees what the reference shows."""

import os
import subprocess
from pathlib import Path

import pytest

from kvref.targets.vllm import environment
from tests.compat.vllm import over_views

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[3]


def drive(*arguments: str) -> list[int]:
    """Agreed cases, different cases, operations, and modules of the installed vLLM."""
    python = environment.python_for("0.23.0", progress=print)
    done = subprocess.run(  # noqa: S603 - the environment's own interpreter
        [str(python), str(Path(over_views.__file__)), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


@pytest.mark.parametrize("manager", ["reference", "optimized"])
def test_a_driver_of_the_real_vllm_sees_the_reference_and_no_vllm_where_one_is_installed(
    manager: str,
) -> None:
    agreed, different, operations, modules = drive(manager, "150")
    assert (different, modules) == (0, 0)
    assert agreed > 140
    assert operations > 8_000


@pytest.mark.parametrize(("manager", "view"), over_views.STALE)
def test_a_view_that_becomes_a_stale_copy_is_seen(manager: str, view: str) -> None:
    _, different, _, _ = drive(manager, "15", view)
    assert different > 5
