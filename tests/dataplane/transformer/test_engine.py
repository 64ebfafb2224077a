"""The engine is a legal caller: the protocol's own book finds nothing to object to."""

from typing import Any

import pytest

from kvref.blocks import KVCacheBlocks
from kvref.dataplane.transformer.jobs import Job
from kvref.errors import UserError
from kvref.operations import (
    Allocate,
    AppendTokens,
    Free,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    StepEnds,
)
from kvref.protocol import Scheduler
from kvref.reference import KVCacheManager
from kvref.request import Request
from kvref.targets.inprocess import manager_of
from spec.units import Tokens
from tests.dataplane.transformer.small import DRAFTS, FULL, HYBRID, SHAPE, Setting, against_dense


class Overheard(KVCacheManager):
    """The reference, which checks every call against the protocol's book."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.scheduler = Scheduler(SHAPE.max_tokens, DRAFTS)
        self.requests: dict[str, Request] = {}
        self.operations = 0

    def hear(self, operation: Operation, observation: Observation = Observation()) -> None:  # noqa: B008
        assert self.scheduler.violation(operation) is None, operation
        self.scheduler.record(operation, observation)
        self.operations += 1

    def know(self, request: Request) -> None:
        """The step's results are in by the time that anything is asked of its requests again."""
        if request.request_id not in self.requests:
            self.requests[request.request_id] = request
            self.hear(NewRequest(request.request_id, tuple(request.all_token_ids)))

    def end_step(self) -> None:
        if self.scheduler.step is None:
            return
        self.hear(StepEnds())
        for name, book in self.scheduler.books.items():
            if book.due:
                self.hear(AppendTokens(name, tuple(self.requests[name].all_token_ids[book.tokens :])))

    def new_step_starts(self) -> None:
        self.end_step()
        super().new_step_starts()
        self.hear(NewStep())

    def get_computed_blocks(self, request: Request) -> tuple[KVCacheBlocks, Tokens]:
        self.know(request)
        hits, length = super().get_computed_blocks(request)
        self.hear(Lookup(request.request_id), Observation(tokens=length))
        return hits, length

    def allocate_slots(self, request: Request, num_new_tokens: int, *args: Any, **options: Any) -> Any:
        operation = Allocate(
            request.request_id, request.num_computed_tokens, num_new_tokens, hit=args[0] if args else None
        )
        blocks = super().allocate_slots(request, num_new_tokens, *args, **options)
        self.hear(operation, Observation(blocks=None if blocks is None else ()))
        return blocks

    def free(self, request: Request) -> None:
        if self.scheduler.books[request.request_id].scheduled_now:
            self.end_step()
        self.hear(Free(request.request_id))
        super().free(request)


@pytest.mark.parametrize("seed", range(4))
def test_every_schedule_is_legal(seed: int) -> None:
    setting = Setting(HYBRID, seed)
    manager = manager_of(Overheard, setting.configuration)
    engine = setting.engine(manager)
    generations = engine.run(setting.jobs())
    assert manager.operations > 100
    assert engine.counts.preemptions
    assert against_dense(setting.model, generations).agrees


def test_a_schedule_follows_from_its_seed() -> None:
    setting = Setting(HYBRID, seed=3)
    runs = []
    for _ in range(2):
        engine = setting.engine(manager_of(KVCacheManager, setting.configuration))
        runs.append(([one.outputs for one in engine.run(setting.jobs())], engine.counts))
    assert runs[0] == runs[1]


def test_a_job_longer_than_the_model_is_refused() -> None:
    setting = Setting((FULL,), seed=1)
    engine = setting.engine(manager_of(KVCacheManager, setting.configuration))
    with pytest.raises(UserError, match="the model takes 95"):
        engine.submit(Job((1,) * 90, 6))
