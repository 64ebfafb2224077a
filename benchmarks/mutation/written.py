"""Traces written by hand, each for what no drawn one shows soon.

Two integers up to 256 that are equal are one object in CPython: what compares objects where it should compare
numbers shows only beyond, and so do texts that were put together while the program runs.
"""

from collections.abc import Sequence

import msgspec
from plans import Plan

from kvref.operations import (
    Allocate,
    AppendTokens,
    ChunkedGroup,
    CommonPrefix,
    Configuration,
    Evict,
    Free,
    FullGroup,
    Group,
    Lookup,
    MambaGroup,
    NewRequest,
    NewStep,
    Operation,
    Reset,
    SinkGroup,
    SlidingGroup,
    StepEnds,
    Trace,
)

MANY = 258
LONG = 1000


def written() -> list[Plan]:
    """All of them, those first that take least."""
    return [
        Plan(without((FullGroup(1),), 1), ("asks", "blunders")),
        Plan(without((), 4), ("looks", "asks")),
        *[Plan(without((SinkGroup(size, 4),), 12, size), ("asks", "limits")) for size in (1, 2, 4)],
        Plan(without((MambaGroup(1, "align", 1),), 12), ("limits",)),
        Plan(arriving(), ()),
        Plan(stacked(), ("hooks",)),
        Plan(losing(), ("looks",)),
        Plan(regrown(), ("looks",)),
        Plan(parted(), ("looks",)),
        Plan(torn(last=True), ("looks",)),
        Plan(torn(last=False), ("looks",)),
        Plan(lacking(2, FullGroup(2), 3, 0), ("looks",)),
        Plan(lacking(2, SlidingGroup(1, 4), 10, 8), ("looks",)),
        Plan(lacking(3, FullGroup(1), 4, 0), ("looks",)),
        Plan(lacking(3, SlidingGroup(1, 9), 4, 0), ("looks",)),
        Plan(drafting((FullGroup(1), MambaGroup(1, "align", 2)), 12, (1, 2, 2, 1, 1)), ()),
        Plan(drafting((MambaGroup(1, "align", 3),), 10, (1, 2, 1, 1), (1, 1, 3, 1, 1)), ()),
        Plan(long_tail(), ()),
        Plan(spelt(), ()),
        Plan(states(), ()),
        Plan(large_number(), ()),
        Plan(long_hit(), ()),
        Plan(many_groups(), ()),
        Plan(many_requests(), ()),
    ]


def comes(name: str, tokens: Sequence[int], hit: int = 0, *, skip_reading: bool = False) -> list[Operation]:
    """A request comes in with all of its prompt."""
    return [
        NewRequest(name, tuple(tokens), skip_reading=skip_reading),
        NewStep(),
        Lookup(name),
        Allocate(name, 0, len(tokens) - hit, hit=hit),
    ]


def without(groups: tuple[Group, ...], blocks: int, size: int = 1) -> Trace:
    """One short request, as where there are no groups, or no blocks but the null block."""
    operations = (
        NewRequest("r", (1, 2)),
        NewStep(),
        Lookup("r"),
        Allocate("r", 0, 2, hit=0),
        CommonPrefix("r"),
        StepEnds(),
        Free("r"),
        Reset(),
    )
    return Trace(Configuration(groups, blocks, 64, size, size), operations)


def arriving() -> Trace:
    """External tokens up to the end of a chunk that cuts a block, and beyond 256."""
    external, more = 43 * 7, 4
    operations = (
        NewRequest("r", tuple(range(external + more))),
        NewStep(),
        Allocate("r", 0, more, external=external),
        StepEnds(),
        Free("r"),
    )
    return Trace(Configuration((ChunkedGroup(3, 7),), 40, LONG, 3, 3), operations)


def stacked() -> Trace:
    """A hit is of three pieces, none of which is cut; then the queue is emptied to where they lay."""
    operations = (
        *comes("a", range(3)),
        *comes("b", range(6), 3),
        *comes("c", range(8), 6),
        *[Free(name) for name in "cba"],
        *comes("d", range(9), 8),
        *comes("e", range(20, 21)),
        Free("e"),
        *comes("f", range(21, 22)),
    )
    return Trace(Configuration((FullGroup(1),), 11, 64, 1, 1), operations)


def losing() -> Trace:
    """Each prompt goes on behind what has lost its last block; then what they go on with loses more."""
    a = tuple(range(1, 7))
    b = (*a[:5], *range(11, 15))
    c = (*b[:8], *range(21, 24))
    operations: list[Operation] = []
    taken = 0
    for name, tokens, hit in (("a", a, 0), ("b", b, 5), ("c", c, 8)):
        taken += len(tokens) - hit
        operations += [*comes(name, tokens, hit), Evict((taken,))]
    operations += [Evict((block,)) for block in (2, 5, 9)]
    return Trace(Configuration((SlidingGroup(1, 5),), 20, 64, 1, 1), tuple(operations))


def regrown() -> Trace:
    """What two prompts have in common loses its last block, and a third goes on there otherwise."""
    a = tuple(range(8))
    operations = (
        *comes("a", a),
        *comes("b", (*a[:6], 20, 21, 22), 6),
        Evict((6,)),
        *comes("c", (*a[:5], 30, 31), 5),
    )
    return Trace(Configuration((FullGroup(1),), 20, 64, 1, 1), operations)


def parted() -> Trace:
    """A prompt parts from another, and a third from that one where both are but a block on."""
    prompts = (("a", (0, 1, 2, 3), 0), ("b", (0, 20, 21, 22), 1), ("c", (0, 20, 30, 31), 2))
    operations = [operation for prompt in prompts for operation in comes(*prompt)]
    return Trace(Configuration((FullGroup(1),), 20, 64, 1, 1), tuple(operations))


def torn(*, last: bool) -> Trace:
    """A prompt goes on behind a block that has lost its content, from where another ends.

    That other has the first blocks of the pool, if this one is the `last` to come, or else the last ones.
    """
    other = comes("a", range(4))
    own: list[Operation] = [
        NewRequest("b", tuple(range(10, 14))),
        Lookup("b"),
        Allocate("b", 0, 4, hit=0, lookahead=2),
    ]
    operations = (
        *(other + own if last else own + other),
        Evict((8 if last else 4,)),
        AppendTokens("b", (14, 15)),
        Allocate("b", 4, 1),
    )
    return Trace(Configuration((FullGroup(1),), 11, 64, 1, 1), operations)


def lacking(groups: int, group: Group, tokens: int, entry: int) -> Trace:
    """Of groups with one spec only the second has lost the block of a table entry; another prompt ends otherwise."""
    size = group.block_size
    entries = -(-tokens // size)
    operations = (
        *comes("r", range(tokens)),
        NewRequest("other", (*range(tokens - 1), tokens)),
        Evict((entries + 1 + entry,)),
    )
    return Trace(Configuration((group,) * groups, groups * entries + 1, LONG, size, size), operations)


def drafting(groups: tuple[Group, ...], blocks: int, *steps: tuple[int, ...]) -> Trace:
    """One request after another goes on by so many tokens a step; the drafts' blocks change places on the way."""
    operations: list[Operation] = []
    for number, own in enumerate(steps):
        name = f"r{number}"
        operations += [NewRequest(name, tuple(range(100 * number, 100 * number + sum(own)))), Lookup(name)]
        computed = 0
        for new in own:
            operations += [NewStep(), Allocate(name, computed, new, hit=None if computed else 0)]
            computed += new
        operations.append(Free(name))
    return Trace(Configuration(groups, blocks, LONG, 1, 1), tuple(operations))


def spelt() -> Trace:
    """The mode of states was read, and is no literal of a program; drafts are ahead of the last step."""
    mode = msgspec.json.decode(b'"align"')
    operations = (
        *comes("a", range(7)),
        Free("a"),
        NewRequest("b", tuple(range(7))),
        Lookup("b"),
        Allocate("b", 0, 1, hit=6, lookahead=2),
    )
    return Trace(Configuration((MambaGroup(2, mode, 1),), 20, 64, 2, 2), operations)


def states() -> Trace:
    """Two kinds of states serve a hit of more than 256 tokens."""
    size, prompt = 300, range(650)
    groups = (MambaGroup(size, "all"), MambaGroup(size, "all", 1))
    operations = (*comes("a", prompt), Free("a"), NewRequest("b", tuple(prompt)), Lookup("b"))
    return Trace(Configuration(groups, 40, LONG, size, size), operations)


def large_number() -> Trace:
    """The older of two blocks with one content is evicted, whose number is beyond 256."""
    operations = (
        *comes("many", range(10, 10 + MANY)),
        *comes("older", range(3)),
        *comes("younger", range(3), skip_reading=True),
        Evict((MANY + 1,)),
    )
    return Trace(Configuration((FullGroup(1),), 2 * MANY, LONG, 1, 1), operations)


def long_hit() -> Trace:
    """A hit of so many blocks that they are probed more than 256 at a time; chunks have no runs."""
    prompt = range(1400)
    operations = (*comes("a", prompt), Free("a"), NewRequest("b", tuple(prompt)), Lookup("b"))
    return Trace(Configuration((ChunkedGroup(1, 2000),), 1500, 2000, 1, 1), operations)


def long_tail() -> Trace:
    """The tails that are kept are long, and what lies between them is longer."""
    prompt = range(150)
    groups = (FullGroup(1), SlidingGroup(1, 50))
    configuration = Configuration(groups, 400, LONG, 64, 1, retention_interval=64)
    return Trace(configuration, (*comes("a", prompt), Free("a"), NewRequest("b", tuple(prompt)), Lookup("b")))


def many_groups() -> Trace:
    """More than 256 groups, each with a spec of its own."""
    groups = tuple(SlidingGroup(1, window) for window in range(2, 2 + MANY))
    operations = (*comes("a", range(2)), *comes("b", range(2), 1))
    return Trace(Configuration(groups, 3 * MANY + 1, LONG, 1, 1), operations)


def many_requests() -> Trace:
    """More than 256 requests share a block."""
    operations: list[Operation] = []
    for number in range(MANY):
        operations += comes(f"r{number}", range(2), 1 if number else 0)
    operations.append(CommonPrefix("r0"))
    return Trace(Configuration((FullGroup(1),), MANY + 2, LONG, 1, 1), tuple(operations))
