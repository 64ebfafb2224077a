"""Long prompts with shared beginnings in a pool that is too small for them, against the reference.

The fuzzer's tables are short. Here stretches and strides come into play.
"""

from random import Random

import pytest

from kvref.operations import (
    Allocate,
    AppendTokens,
    ChunkedGroup,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Operation,
    SlidingGroup,
)
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from tests.optimized.forms import FORMS, session_class

BLOCKS, LONGEST, STEPS = 700, 1200, 120

GROUPS = {
    "full": (FullGroup(4),),
    "full and windows": (FullGroup(4), SlidingGroup(4, 90), SlidingGroup(4, 90)),
    "two sizes and EAGLE": (FullGroup(8), SlidingGroup(4, 40, eagle=True)),
    "chunks": (FullGroup(4), ChunkedGroup(4, 128)),
    "states": (FullGroup(4), MambaGroup(4, "all", 1)),
}


class Both:
    """The two sessions side by side."""

    def __init__(self, configuration: Configuration, own: type[OptimizedSession]) -> None:
        self.sessions = ReferenceSession(configuration), own(configuration)

    def apply(self, operation: Operation) -> tuple[int, bool]:
        """Perform it on both: the hit length, and whether there was a result."""
        theirs, ours = (session.apply(operation) for session in self.sessions)
        assert ours == theirs, operation
        return theirs.tokens or 0, theirs.blocks is not None

    def compare(self) -> None:
        theirs, ours = (session.view() for session in self.sessions)
        assert ours == theirs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("made", GROUPS)
def test_long_tables(form: str, made: str) -> None:
    rng = Random(made)  # noqa: S311
    groups = GROUPS[made]
    sizes = [group.block_size for group in groups]
    both = Both(Configuration(groups, BLOCKS, 2000, max(sizes), min(sizes)), session_class(form))
    families = [[rng.randrange(50) for _ in range(LONGEST)] for _ in range(3)]
    running: dict[str, int] = {}
    hits = refusals = 0
    for number in range(STEPS):
        both.apply(NewStep())
        name = f"r{number}"
        prompt = rng.choice(families)[: rng.randrange(LONGEST)] + [rng.randrange(50) for _ in range(40)]
        both.apply(NewRequest(name, tuple(prompt)))
        hit, _ = both.apply(Lookup(name))
        hits += hit > 0
        _, admitted = both.apply(Allocate(name, 0, len(prompt) - hit, hit))
        refusals += not admitted
        if admitted:
            running[name] = len(prompt)
        for other in list(running):
            both.apply(AppendTokens(other, (number,)))
            if both.apply(Allocate(other, running[other], 1))[1] and rng.random() < 0.8:
                running[other] += 1
            else:
                del running[other]
                both.apply(Free(other))
        if rng.random() < 0.1:
            both.apply(Evict((rng.randrange(1, BLOCKS),)))
        both.compare()
    assert hits > STEPS // 4
    assert refusals
