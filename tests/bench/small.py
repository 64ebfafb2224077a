"""Workloads small enough for a test, and implementations that are not what they seem."""

from collections.abc import Callable
from random import Random
from typing import Any

from kvref.bench.implementations import OwnImplementation
from kvref.bench.workloads import BLOCK, Job, Wave, Workload, configured, content_of
from kvref.operations import Configuration, FullGroup, Group, SlidingGroup

HYBRID: tuple[Group, ...] = (FullGroup(BLOCK), SlidingGroup(BLOCK, 64))


def jobs(seed: int, *shapes: tuple[int, int, int]) -> tuple[Job, ...]:
    """Requests of (arrival, prompt, output)."""
    rng = Random(seed)  # noqa: S311
    return tuple(
        Job(prompt, output, content_of(rng, prompt + output), arrival) for arrival, prompt, output in shapes
    )


def workload(
    *waves: Wave, pool: int = 1_000, groups: tuple[Group, ...] = HYBRID, prefill_first: bool = True
) -> Workload:
    return Workload("small", "a small one", configured(groups, pool), waves, prefill_first=prefill_first)


def reference() -> OwnImplementation:
    return OwnImplementation("reference", "kvref.reference")


class Faulty(OwnImplementation):
    """The reference, whose managers are changed."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        super().__init__("reference", "kvref.reference")
        self.name = "faulty"
        self._change = change

    def manager(self, configuration: Configuration) -> Any:
        manager = super().manager(configuration)
        self._change(manager)
        return manager
