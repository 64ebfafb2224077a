"""Long legal traces through the reference: no invariant is ever broken."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from invariants.view import Violation
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    ChunkedGroup,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    CrossGroup,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Item,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Operation,
    RemoveSkipped,
    Reset,
    SinkGroup,
    SlidingGroup,
    StepEnds,
    TakeStats,
    Trace,
)
from kvref.protocol import Phase, Scheduler
from kvref.targets.picture import Picture
from kvref.targets.reference import ReferenceSession, ReferenceTarget
from kvref.witness import Witness

STEPS = 60
MODEL = 96


def configuration(*groups: object, size: int = 4, fine: int | None = None, **more: object) -> Configuration:
    return Configuration(
        groups=groups,  # type: ignore[arg-type]
        num_blocks=more.pop("num_blocks", 41),  # type: ignore[arg-type]
        max_model_len=MODEL,
        scheduler_block_size=size,
        hash_block_size=size if fine is None else fine,
        max_num_batched_tokens=24,
        **more,  # type: ignore[arg-type]
    )


CONFIGURATIONS = {
    "full": configuration(FullGroup(4)),
    "full and sliding": configuration(FullGroup(8), SlidingGroup(2, 4), size=8, fine=2),
    "sliding alone": configuration(SlidingGroup(4, 9)),
    "two equal full groups": configuration(FullGroup(4), FullGroup(4)),
    "mamba aligned": configuration(FullGroup(4), MambaGroup(4, "align", 2)),
    "mamba": configuration(FullGroup(4), MambaGroup(4, "all", 1)),
    "chunked": configuration(FullGroup(4), ChunkedGroup(4, 8)),
    "eagle": configuration(FullGroup(8), SlidingGroup(4, 6), size=8, fine=4, use_eagle=True),
    "sink": configuration(SinkGroup(4, 8)),
    "cross without caching": configuration(FullGroup(4), CrossGroup(4), enable_caching=False),
    "sliding without caching": configuration(SlidingGroup(4, 8), enable_caching=False),
    "retention": configuration(FullGroup(4), SlidingGroup(4, 4), retention_interval=16),
    "retention of the prompt": configuration(SlidingGroup(4, 4), retention_interval=0),
    "without events": configuration(FullGroup(4), SlidingGroup(4, 8), enable_kv_cache_events=False),
    "context parallel": configuration(FullGroup(2), size=4, dcp_world_size=2),
    "tight": configuration(FullGroup(4), SlidingGroup(4, 8), num_blocks=21),
}


class Caller:
    """A small scheduler that draws what to do."""

    def __init__(self, config: Configuration, seed: int) -> None:
        self.config = config
        self.rng = random.Random(seed)  # noqa: S311 - draws cases, not secrets
        self.session = ReferenceSession(config)
        self.witness = Witness(config)
        self.book = Scheduler(MODEL, drafts=2)
        self.prompts: list[tuple[int, ...]] = []
        self.performed: list[Operation] = []

    def apply(self, operation: Operation) -> None:
        why = self.book.violation(operation)
        assert why is None, why
        observation = self.session.apply(operation)
        self.performed.append(operation)
        violations = self.witness.sees(operation, observation, self.session.view())
        assert not violations, "\n".join(map(str, violations + self.performed[-6:]))  # type: ignore[operator]
        assert observation.error is None
        self.book.record(operation, observation)

    def arrive(self, name: str) -> None:
        rng = self.rng
        known = rng.choice(self.prompts)[: rng.randint(0, 40)] if self.prompts else ()
        tokens = (known + tuple(rng.randint(1, 9) for _ in range(rng.randint(1, 20))))[:60]
        if len(known) > 8 and rng.random() < 0.3:
            tokens = known[: len(known) // 8 * 8]
        self.prompts.append(tokens)
        items = (
            (Item(rng.choice("xy"), len(tokens) // 2, 2),) if len(tokens) > 4 and rng.random() < 0.2 else ()
        )
        self.apply(
            NewRequest(
                name,
                tokens,
                salt=rng.choice([None, None, None, "s"]),
                lora=rng.choice([None, None, None, "s"]),
                items=items,
                skip_reading=rng.random() < 0.1,
            )
        )

    def admit(self, name: str) -> None:
        rng = self.rng
        self.apply(Lookup(name, self.book.books[name].preemptions))
        assert self.book.found
        hit = self.book.found[1]
        left = self.book.books[name].tokens - hit
        external = rng.randint(1, left - 1) if left > 1 and rng.random() < 0.15 else 0
        if external and rng.random() < 0.5:
            self.apply(Allocate(name, 0, 0, hit=hit, external=external, delay=True))
            return
        self.apply(
            Allocate(
                name,
                0,
                rng.randint(1, min(24, left - external)),
                hit=hit,
                external=external,
                lookahead=rng.choice([0, 2]),
                encoder=rng.choice([0, 5]) if self.config.groups[-1] == CrossGroup(4) else 0,
                must_fit=rng.random() < 0.3,
                reserved=rng.choice([0, 0, 3]),
            )
        )

    def extras(self, names: list[str]) -> Iterator[Operation]:
        rng = self.rng
        roll = rng.random()
        held = [b for tables in self.witness.last.tables.values() for t in tables for b in t]
        if roll < 0.05:
            yield Evict(tuple({rng.choice(held or [1]), rng.randrange(1, self.config.num_blocks)}))
        elif roll < 0.1:
            yield Reset()
        elif roll < 0.2:
            yield TakeStats()
        elif roll < 0.3 and names:
            yield CommonPrefix(rng.choice(names))
            yield GetBlocks(rng.choice(names))
        elif roll < 0.4 and names:
            name = rng.choice(names)
            yield RemoveSkipped(name, self.book.books[name].computed)

    def run(self) -> None:
        for step in range(STEPS):
            if self.rng.random() < 0.6:
                self.arrive(f"r{step}")
            self.schedule()
            self.apply(StepEnds())
            for name, book in list(self.book.books.items()):
                if book.due:
                    count = self.rng.randint(1, book.due)
                    self.apply(AppendTokens(name, tuple(self.rng.randint(1, 9) for _ in range(count))))
            self.finish_or_continue()
            running = [n for n, b in self.book.books.items() if b.phase is Phase.RUNNING]
            for operation in self.extras(running):
                self.apply(operation)
        for name, book in list(self.book.books.items()):
            if book.phase is not Phase.WAITING:
                self.apply(Free(name))
        assert not self.witness.last.tables

    def schedule(self) -> None:
        rng = self.rng
        self.apply(NewStep())
        alive = self.latest()
        for name in rng.sample(alive, len(alive)):
            book = self.book.books[name]
            if book.phase is Phase.WAITING and book.tokens < MODEL - 30:
                self.admit(name)
            elif book.phase is Phase.LOADING:
                self.apply(CacheBlocks(name, book.computed))
            elif book.phase is Phase.RUNNING and book.unscheduled > 0:
                room = min(book.unscheduled + rng.choice([0, 2]), MODEL - 1 - book.computed, 24)
                if room > 0:
                    new, lookahead = rng.randint(1, room), rng.choice([0, 2])
                    self.apply(Allocate(name, book.computed, new, lookahead=lookahead))

    def finish_or_continue(self) -> None:
        for name, book in list(self.book.books.items()):
            chance = self.rng.random()
            over = book.tokens > MODEL - 30 or name not in self.latest()
            if book.phase is not Phase.WAITING and (chance < 0.12 or over):
                self.apply(Free(name))
            elif chance < 0.17:
                update = ContinueRequest(name, book.computed, (7, 8, 9), (Item("z", 0, 2),))
                if self.book.violation(update) is None:
                    self.apply(update)

    def latest(self) -> list[str]:
        return list(self.book.books)[-6:]


def first_broken(trace: Trace, pictures: Sequence[Picture]) -> tuple[int, list[Violation]] | None:
    """The line of the first operation that breaks an invariant, and which; None if all hold."""
    witness = Witness(trace.configuration)
    for line, (operation, picture) in enumerate(zip(trace.operations, pictures, strict=False)):
        violations = witness.sees(operation, picture.observation, picture.view)
        if violations:
            return line, violations
    return None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_invariant_is_broken_in_a_long_legal_trace(name: str, seed: int) -> None:
    Caller(CONFIGURATIONS[name], seed).run()


def test_a_recorded_trace_is_judged_line_by_line() -> None:
    caller = Caller(CONFIGURATIONS["full"], 0)
    caller.run()
    trace = Trace(caller.config, tuple(caller.performed[:40]))
    pictures = ReferenceTarget().picture(trace)
    assert first_broken(trace, pictures) is None
    leaking = replace(pictures[30].view, free_queue=pictures[30].view.free_queue[:-1])
    pictures[30] = Picture(pictures[30].observation, leaking)
    found = first_broken(trace, pictures)
    assert found is not None
    line, violations = found
    assert line == 30
    assert "free-iff-unused" in {violation.invariant for violation in violations}
