"""What a scheduler knows while it serves requests, and what it chooses by."""

from collections.abc import Sequence

from kvref.fuzz.care import Care
from kvref.fuzz.choices import Choices
from kvref.fuzz.habits import Habits
from kvref.fuzz.prompts import Prompts
from kvref.fuzz.weights import DEFAULT, Weights
from kvref.operations import ChunkedGroup, Configuration, Group, SlidingGroup, SlidingMLAGroup
from kvref.protocol import Book, Phase, Scheduler

MAX_LIVE = 6


def releases_of(groups: Sequence[Group]) -> list[tuple[int, int]]:
    """By group, every how many tokens it may release a block, and the first of these counts."""
    releases = []
    for group in groups:
        match group:
            case SlidingGroup() | SlidingMLAGroup():
                releases.append((group.block_size, group.window - 1))
            case ChunkedGroup():
                releases.append((group.chunk, 0))
            case _:
                releases.append((group.block_size, 0))
    return releases or [(1, 0)]


class Serving:
    """One scheduler's requests, book and habits; counts are in tokens.

    A careful scheduler also keeps what no manager can know: see `Care`.
    """

    def __init__(
        self,
        choices: Choices,
        configuration: Configuration,
        habits: Habits,
        weights: Weights = DEFAULT,
        *,
        careful: bool = False,
    ) -> None:
        self.choices = choices
        self.configuration = configuration
        self.habits = habits
        self.weights = weights
        self.block = max(group.block_size for group in configuration.groups) if configuration.groups else 4
        self.releases = releases_of(configuration.groups)
        self.prompts = Prompts(configuration, self.block, weights, extras=habits.extras)
        self.care = Care(configuration) if careful else None
        drafts = habits.lookahead
        if self.care:
            drafts = self.care.drafts(drafts, asynchronous=habits.asynchronous)
        self.scheduler = Scheduler(configuration.max_model_len, drafts)
        self.told: Sequence[Sequence[int]] = ()
        """The table that the worker was told of last: block ids by group."""
        self.budget = 0
        """What may still be scheduled in this step."""
        self.live: list[str] = []
        """Requests that have not finished, in the order of their arrival."""

    @property
    def step_budget(self) -> int:
        """The most that a step may schedule."""
        return self.configuration.max_num_batched_tokens or self.configuration.max_model_len

    def books(self, phase: Phase) -> list[Book]:
        """The requests in this phase, in the order of their arrival."""
        return [book for name in self.live if (book := self.scheduler.books[name]).phase is phase]

    def draw_lookahead(self) -> int:
        """Slots for drafts that the next allocation asks for."""
        return self.choices.choice((0, 1, 4, 4)) if self.habits.varying_lookahead else self.habits.lookahead

    def draw_reserved(self) -> int:
        """Blocks that the next allocation must leave free."""
        return self.choices.integer(0, 6) if self.habits.reserving and self.choices.chance(0.5) else 0
