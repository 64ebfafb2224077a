"""Runs answer as lookups one by one do, whatever is cached twice, lost out of order and cached again.

Prompts are a family's beginning with an end of their own, so that requests go on with one another's
runs; pools are small, and any cached block may be evicted by hand. Against the reference.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Lookup,
    NewRequest,
    NewStep,
    Reset,
    SlidingGroup,
)
from kvref.optimized.pool import BlockPool
from kvref.optimized.runs import Run, Runs
from kvref.targets.optimized import OptimizedSession
from tests.optimized.forms import FORMS, session_class
from tests.optimized.test_at_length import Both

TOKENS = 2

GROUPS = {
    "full": ((FullGroup(2),), 40),
    "full and windows": ((FullGroup(2), SlidingGroup(2, 9), SlidingGroup(2, 9)), 120),
    "coarse blocks": ((FullGroup(4), SlidingGroup(2, 7)), 90),
    "EAGLE": ((FullGroup(2, eagle=True),), 40),
    "two full groups of two sizes": ((FullGroup(2), FullGroup(4), FullGroup(2)), 120),
}
SEEDS = range(6)
STEPS = 150


class Play:
    """Small requests on the reference and on an optimized manager."""

    def __init__(self, made: str, seed: int, own: type[OptimizedSession]) -> None:
        self.rng = Random(f"{made} {seed}")  # noqa: S311
        groups, self.blocks = GROUPS[made]
        sizes = [group.block_size for group in groups]
        self.both = Both(Configuration(groups, self.blocks, 200, max(sizes), min(sizes)), own)
        self.families = [tuple(self.rng.choices(range(TOKENS), k=60)) for _ in range(2)]
        self.running: dict[str, int] = {}
        self.names = 0

    def move(self) -> None:
        """One request comes, goes on or leaves, or content is lost."""
        self.both.apply(NewStep())
        what = self.rng.random()
        if what < 0.5 or not self.running:
            self.arrive()
        elif what < 0.7:
            self.decode(self.rng.choice(list(self.running)))
        elif what < 0.9:
            self.leave(self.rng.choice(list(self.running)))
        elif what < 0.99:
            lost = self.rng.sample(range(1, self.blocks), self.rng.randrange(1, 4))
            self.both.apply(Evict(tuple(lost)))
        else:
            for name in list(self.running):
                self.leave(name)
            self.both.apply(Reset())
        self.both.compare()

    def arrive(self) -> None:
        """A family's beginning with an end of its own; some use no hit, and cache once more what is there."""
        rng, self.names = self.rng, self.names + 1
        name = f"r{self.names}"
        prompt = rng.choice(self.families)[: rng.randrange(4, 60)] + tuple(rng.choices(range(TOKENS), k=4))
        self.both.apply(NewRequest(name, prompt))
        hit, _ = self.both.apply(Lookup(name))
        used = hit if rng.random() < 0.7 else None
        if self.both.apply(Allocate(name, 0, len(prompt) - (used or 0), used))[1]:
            self.running[name] = len(prompt)

    def decode(self, name: str) -> None:
        """One token more."""
        self.both.apply(AppendTokens(name, (self.rng.randrange(TOKENS),)))
        if self.both.apply(Allocate(name, self.running[name], 1))[1]:
            self.running[name] += 1
        else:
            self.leave(name)

    def leave(self, name: str) -> None:
        """Its blocks are free, and stay cached."""
        del self.running[name]
        self.both.apply(Free(name))


def play(made: str, seed: int, own: type[OptimizedSession], look: Callable[[Any], None]) -> None:
    """Many moves; `look` sees the optimized session after each."""
    one = Play(made, seed, own)
    for _ in range(STEPS):
        one.move()
        look(one.both.sessions[1])


def check_runs(session: Any) -> None:
    """Every block of a run is the oldest with its content, and knows its run."""
    pool: BlockPool = session.manager.pool
    for one in pool.maps:
        if one.runs is None:
            continue
        oldest = {block: name for name, block in one.oldest.items()}
        for block, run in enumerate(one.runs.of):
            if block not in oldest or run is None:
                continue
            assert block in run.blocks[run.lost :]
            for other in run.blocks[run.lost :]:
                assert one.runs.of[other] is run
                assert other in oldest


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("made", GROUPS)
@pytest.mark.parametrize("seed", SEEDS)
def test_runs_change_no_answer(form: str, made: str, seed: int) -> None:
    play(made, seed, session_class(form), check_runs)


def test_most_lookups_are_answered_by_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    true = Runs.known
    answers: list[bool] = []
    bases: list[bool] = []

    def known(self: Runs, names: list[bytes], start: int, end: int) -> list[int] | None:
        found = true(self, names, start, end)
        answers.append(found is not None)
        run = self.of[found[-1]] if found else None
        bases.append(run is not None and run.base is not None)
        return found

    monkeypatch.setattr(Runs, "known", known)
    play("full", 1, OptimizedSession, lambda _: None)
    assert answers.count(True) > len(answers) // 2
    assert False in answers
    assert True in bases


def never_cut(_: Any) -> Any:
    return lambda _self, _block: None


def cut_too_little(_: Any) -> Any:
    """Take the block out of its run, and leave those behind it in the run."""

    def cut(self: Runs, block: int) -> None:
        run = self.of[block]
        if run is not None:
            run.grows = False
            run.blocks.remove(block)
            self.of[block] = None

    return cut


def trust_younger_ones(true: Any) -> Any:
    """Take whatever follows the hash before for a run's next blocks, wherever the base has them."""

    def extend(self: Runs, start: int, blocks: list[int], before: bytes | None) -> None:
        true(self, start, blocks, before)
        run = self.of[blocks[0]]
        if run is None:
            found = Run(None, 0)
            found.blocks.extend([blocks[0]] * start + blocks)
            for block in blocks:
                self.of[block] = found

    return extend


@pytest.mark.parametrize(
    ("place", "faulty"),
    [("cut", never_cut), ("cut", cut_too_little), ("extend", trust_younger_ones)],
)
def test_a_fault_in_the_runs_is_found(
    place: str, faulty: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runs, place, faulty(getattr(Runs, place)))
    found = 0
    for seed in SEEDS:
        try:
            play("full", seed, OptimizedSession, lambda _: None)
        except (AssertionError, LookupError, ValueError):
            found += 1
    assert found


def grow_again(true: Any) -> Any:
    """Let a run that was cut go on with other content, though others build on what it was."""

    def cut(self: Runs, block: int) -> None:
        run = self.of[block]
        true(self, block)
        if run is not None:
            run.grows = True

    return cut


def answer_on_a_base_that_was_cut() -> list[int] | None:
    """A branch behind blocks 1 to 3, of which 2 and 3 are lost; others follow block 1 since."""
    oldest = {b"a": 1, b"b": 2, b"c": 3, b"d": 4}
    runs = Runs(oldest, [None] * 10, is_full=True)
    runs.extend(0, [1, 2, 3, 4], None)
    oldest[b"x"] = 5
    runs.extend(3, [5], b"c")
    for name in (b"b", b"c", b"d"):
        runs.cut(oldest.pop(name))
    oldest |= {b"k": 2, b"l": 3, b"m": 4}
    runs.extend(1, [2, 3, 4], b"a")
    assert runs.known([b"a", b"k", b"l", b"m"], 0, 4) == [1, 2, 3, 4]
    assert runs.known([b"a", b"z"], 0, 2) == [1]
    return runs.known([b"a", b"b", b"c", b"x"], 0, 4)


def test_a_base_that_was_cut_vouches_for_no_more() -> None:
    assert answer_on_a_base_that_was_cut() is None


def test_it_would_if_it_grew_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runs, "cut", grow_again(Runs.cut))
    assert answer_on_a_base_that_was_cut() == [1, 2, 3, 5]


def test_by_hand_there_are_no_runs() -> None:
    session = OptimizedSession(Configuration((FullGroup(2),), 20, 100, 2, 2))
    pool = session.manager.pool
    session.apply(NewRequest("a", (1, 2, 3, 4, 5)))
    session.apply(Allocate("a", 0, 5))
    runs = pool.maps[0].runs
    assert runs is not None
    assert [block for block, run in enumerate(runs.of) if run] == [1, 2]
    pool.give_up_runs()
    session.apply(Free("a"))
    session.apply(NewRequest("b", (1, 2, 3, 4, 6)))
    assert session.apply(Lookup("b")).tokens == 4
