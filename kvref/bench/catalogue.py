"""All workloads by name, each drawn from the seed and its own name alone."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from kvref.bench import workloads
from kvref.bench.multi_turn import multi_turn
from kvref.bench.workloads import Size, Workload
from kvref.errors import UserError

BUILDERS: Final[dict[str, Callable[[Random, Size], Workload]]] = {
    "full": workloads.full,
    "hybrid": workloads.hybrid,
    "mamba": workloads.mamba,
    "eagle": workloads.eagle,
    "system-prompts": workloads.system_prompts,
    "multi-turn": multi_turn,
    **{name: workloads.pool_of(name) for name in workloads.POOLS},
}


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """These workloads, each once, or all of them. Raises UserError for an unknown name."""
    for name in names:
        if name not in BUILDERS:
            raise UserError(f"no workload is called {name!r}: choose of {', '.join(BUILDERS)}")
    return tuple(name for name in BUILDERS if not names or name in names)


def build(name: str, seed: int, size: Size) -> Workload:
    """The workload called `name`."""
    return BUILDERS[name](Random(f"{seed}/{name}"), size)  # noqa: S311 - no secret
