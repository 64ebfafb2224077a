"""`kvref targets`: what can be tested."""

from kvref.cli.common import console
from kvref.targets.registry import names


def targets() -> None:
    """List what can be tested."""
    for name in names():
        console.print(name)
    known = "vllm==X.Y.Z makes and keeps an environment for that release; vllm uses this interpreter's"
    console.print(known, soft_wrap=True)
