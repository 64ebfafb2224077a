"""A manager's answers, told by hand: what a data plane sees of them."""

from typing import Any

from kvref.compare import Difference
from kvref.dataplane.plane import DataPlane
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    Configuration,
    ContinueRequest,
    Free,
    GetBlocks,
    Group,
    NewRequest,
    NewStep,
    Observation,
    StepEnds,
)


def configuration(*groups: Group, num_blocks: int = 20, **settings: Any) -> Configuration:
    size = max(group.block_size for group in groups)
    return Configuration(groups, num_blocks, 64, size, size, **settings)


class Story:
    """Tables are given as lists of block ids, one a group; what is wrong comes back from `step_ends`."""

    def __init__(self, *groups: Group, **settings: Any) -> None:
        self.plane = DataPlane(configuration(*groups, **settings))

    def arrives(self, name: str, tokens: str, **extras: Any) -> None:
        """A request; each letter is a token."""
        self.plane.sees(NewRequest(name, tuple(map(ord, tokens)), **extras), Observation())

    def step(self) -> None:
        self.plane.sees(NewStep(), Observation())

    def admits(self, name: str, new: int, *tables: list[int], hit: int = 0, **arguments: Any) -> None:
        """An admission: `tables` are whole, hits included."""
        ids = tuple(map(tuple, tables))
        self.plane.sees(Allocate(name, 0, new, hit=hit, **arguments), Observation(blocks=ids))
        self.plane.sees(GetBlocks(name), Observation(blocks=ids))

    def runs(self, name: str, computed: int, new: int, *appended: list[int], lookahead: int = 0) -> None:
        """A running request: `appended` are the blocks that it got."""
        operation = Allocate(name, computed, new, lookahead=lookahead)
        self.plane.sees(operation, Observation(blocks=tuple(map(tuple, appended))))

    def frees(self, name: str) -> None:
        self.plane.sees(Free(name), Observation())

    def loaded(self, name: str, tokens: int) -> None:
        self.plane.sees(CacheBlocks(name, tokens), Observation())

    def samples(self, name: str, tokens: str) -> None:
        self.plane.sees(AppendTokens(name, tuple(map(ord, tokens))), Observation())

    def goes_on(self, name: str, computed: int, tokens: str) -> None:
        self.plane.sees(ContinueRequest(name, computed, tuple(map(ord, tokens))), Observation())

    def step_ends(self) -> list[Difference]:
        return [self.plane.difference(one) for one in self.plane.sees(StepEnds(), Observation())]
