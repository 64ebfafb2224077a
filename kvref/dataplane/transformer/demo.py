"""`kvref demo`: the same requests decoded with the prefix cache, without it, and without any cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from kvref.bench.implementations import Implementation, own_implementations
from kvref.dataplane.transformer import dense, workload
from kvref.dataplane.transformer.drafter import lookup_drafter
from kvref.dataplane.transformer.engine import Engine
from kvref.dataplane.transformer.jobs import Counts
from kvref.dataplane.transformer.model import Model, random_model
from kvref.dataplane.transformer.paged import PagedModel
from kvref.dataplane.transformer.verify import Comparison, compare
from kvref.dataplane.transformer.workload import Workload, shared_prefixes
from kvref.errors import UserError

Decoded = list[tuple[list[int], Tensor]]
"""By request its output tokens, and their logits [outputs, V]."""


@dataclass(frozen=True)
class Run:
    """One engine's run, held against the model without a cache; `seconds` by repetition."""

    counts: Counts
    comparison: Comparison
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    """What the demo saw. `dense_seconds` and `dense_tokens`: of the model without any cache."""

    manager: str
    device: str
    workload: Workload
    cached: Run
    uncached: Run
    dense_seconds: tuple[float, ...]
    dense_tokens: int

    @property
    def agrees(self) -> bool:
        """Whether both engines decoded what the model does."""
        return self.cached.comparison.agrees and self.uncached.comparison.agrees

    def speed(self, seconds: Sequence[float]) -> float:
        """Output tokens a second, in the median of the repetitions."""
        return self.workload.output_tokens / median(seconds)


def demonstrate(target: str, device: str, *, seed: int, requests: int, repeats: int) -> Result:
    """Decode `requests` requests three ways. Raises UserError for a target or a device that is not there.

    One thread computes: the tensors are too small for more.
    """
    implementation, place = choose(target), usable_device(device)
    torch.set_num_threads(1)
    return run(implementation, shared_prefixes(seed, requests), place, repeats)


def choose(target: str) -> Implementation:
    """The manager called `target`. Raises UserError if it is not there."""
    found, absent = own_implementations()
    for implementation in found:
        if implementation.name == target:
            return implementation
    if target in absent:
        raise UserError(f"the manager {target} is {absent[target]}: run make compile")
    known = ", ".join(implementation.name for implementation in found)
    raise UserError(f"the demo drives a manager in this process, not {target!r}: choose one of {known}")


def usable_device(name: str) -> torch.device:
    """The device, which must do double precision. Raises UserError if it is not there, or does not."""
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).sum().item()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as failure:
        reason = str(failure).partition("\n")[0]
        raise UserError(f"--device {name} cannot be used: {reason}") from failure
    return device


def run(implementation: Implementation, load: Workload, device: torch.device, repeats: int) -> Result:
    """Decode the workload three ways, in turn, `repeats` times."""
    model = random_model(workload.KINDS, workload.LAYERS, workload.SHAPE, load.seed).to(device)
    engines: list[Engine] = []

    def paged(*, caching: bool) -> Decoded:
        engines.append(_engine(implementation, load, model, caching=caching))
        generations = engines[-1].run(load.jobs)
        return [(one.outputs, torch.stack(one.rows)) for one in generations]

    ways: list[Callable[[], Decoded]] = [
        lambda: paged(caching=True),
        lambda: paged(caching=False),
        lambda: [dense.decode(model, job.prompt, job.outputs) for job in load.jobs],
    ]
    seconds: list[list[float]] = [[] for _ in ways]
    decoded: list[Decoded] = [[] for _ in ways]
    for _ in range(repeats):
        engines.clear()
        for number, way in enumerate(ways):
            start = perf_counter()
            decoded[number] = way()
            seconds[number].append(perf_counter() - start)
    cached, uncached = (
        Run(engine.counts, compare(own, decoded[2]), tuple(times))
        for engine, own, times in zip(engines, decoded[:2], seconds[:2], strict=True)
    )
    dense_tokens = sum(len(job.prompt) + i for job in load.jobs for i in range(job.outputs))
    return Result(implementation.name, str(device), load, cached, uncached, tuple(seconds[2]), dense_tokens)


def _engine(implementation: Implementation, load: Workload, model: Model, *, caching: bool) -> Engine:
    configuration = workload.configuration(caching=caching)
    random = Random(load.seed)  # noqa: S311 - no secret
    return Engine(
        implementation.manager(configuration),
        configuration,
        PagedModel(model, configuration.num_blocks),
        lookup_drafter(random, model.shape.vocabulary),
        workload.HABITS,
        random,
    )
