"""Prompts of one length that part at many places and grow block by block, while single blocks lose their content.

What a lookup finds then depends on which block each was cached behind.
"""

from kvref.fuzz.choices import Choices
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Group,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    SlidingGroup,
    Trace,
)
from kvref.targets.picture import Opener, Session

STEPS = 36
MOST_ENTRIES = 12
VOCABULARY = 3


def forked(opener: Opener, choices: Choices) -> Trace:
    """Such prompts, in a pool that has room for most of them."""
    size = choices.choice((1, 1, 2))
    window = SlidingGroup(size, choices.choice((4, 4, 9)) * size)
    groups: tuple[Group, ...] = choices.choice(
        (
            (FullGroup(size),),
            (window,),
            (window, window, FullGroup(size)),
            (FullGroup(size), FullGroup(size)),
            (FullGroup(size), FullGroup(size), SlidingGroup(size, 3 * size)),
            (FullGroup(2 * size), SlidingGroup(size, 3 * size)),
            (FullGroup(4 * size), FullGroup(size), SlidingGroup(2 * size, 5 * size)),
        )
    )
    unit = max(group.block_size for group in groups)
    fine = min(group.block_size for group in groups)
    longest = (MOST_ENTRIES + STEPS) * unit
    blocks = choices.choice((3, 6, 12)) * MOST_ENTRIES * len(groups) * unit // fine
    # Where nobody is told of events, single blocks are cached in another way.
    events = choices.chance(0.3)
    configuration = Configuration(groups, blocks, longest, unit, fine, enable_kv_cache_events=events)
    play = _Play(opener(configuration), choices, unit, forgetful=choices.chance(0.5))
    length = choices.integer(4, MOST_ENTRIES) * unit + choices.integer(0, 1)
    for _ in range(STEPS):
        play.step(length, blocks)
    return Trace(configuration, tuple(play.operations))


class _Play:
    """What was done; the tokens of all requests, and of how many of them those that run have slots.

    A forgetful play takes the content of cached blocks often, any other now and then that of any block. Its
    prompts are of any length.
    """

    def __init__(self, session: Session, choices: Choices, unit: int, *, forgetful: bool) -> None:
        self.operations: list[Operation] = []
        self._session = session
        self._choices = choices
        self._unit = unit
        self._forgetful = forgetful
        self._tokens: dict[str, tuple[int, ...]] = {}
        self._running: dict[str, int] = {}

    def step(self, length: int, blocks: int) -> None:
        """One request comes, grows or goes, or a block loses its content."""
        self._do(NewStep())
        what = self._choices.weighted(
            ("comes", "grows", "goes", "forgets"), (6, 6, 3, 9) if self._forgetful else (3, 6, 1, 1)
        )
        if what == "forgets":
            self._do(Evict((self._forgotten(blocks),)))
        elif what == "comes" or not self._running:
            self._come(length)
        elif what == "grows":
            self._grow(self._choices.choice(list(self._running)))
        else:
            self._go(self._choices.choice(list(self._running)))

    def _forgotten(self, blocks: int) -> int:
        cached = [block for block, key in enumerate(self._session.view().keys) if key is not None]
        if self._forgetful and cached:
            return self._choices.choice(cached)
        return self._choices.integer(1, blocks - 1)

    def _come(self, length: int) -> None:
        name = f"r{len(self._tokens)}"
        if self._forgetful:
            length = self._choices.integer(1, length)
        parent = self._choices.choice(list(self._tokens.values())) if self._tokens else ()
        shared = parent[: self._choices.integer(0, length)]
        tokens = shared + self._choices.integers(length - len(shared), 1, VOCABULARY)
        self._tokens[name] = tokens
        self._do(NewRequest(name, tokens))
        hit = self._do(Lookup(name)).tokens or 0
        if self._do(Allocate(name, 0, length - hit, hit=hit)).blocks is not None:
            self._running[name] = length

    def _grow(self, name: str) -> None:
        computed = self._running[name]
        fresh = self._choices.integers(self._choices.integer(1, self._unit), 1, VOCABULARY)
        self._tokens[name] += fresh
        self._do(AppendTokens(name, fresh))
        if self._do(Allocate(name, computed, len(fresh))).blocks is None:
            self._go(name)
        else:
            self._running[name] = computed + len(fresh)

    def _go(self, name: str) -> None:
        del self._running[name]
        self._do(Free(name))

    def _do(self, operation: Operation) -> Observation:
        self.operations.append(operation)
        return self._session.apply(operation)
