"""A recording's entries as operations on a manager, with what it returned."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Final, NamedTuple

from invariants.view import View
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    ContinueRequest,
    Evict,
    Free,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    StepEnds,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)
from kvref.record.entries import (
    Admit,
    Append,
    Arrive,
    Cache,
    Continue,
    Cost,
    Entry,
    EventsTaken,
    Evicted,
    Grow,
    LookUp,
    NewIdsTaken,
    PrefixAsked,
    Raised,
    Release,
    Resumes,
    Sampled,
    Skip,
    Snapshot,
    StatsTaken,
    StepBegins,
    StepHasRun,
    TablesAsked,
    WasReset,
)

NOTHING: Final = Observation()
ALLOCATE: Final = "allocate_slots"
RECORDER: Final = "recorder"
"""What raised, if it was the recorder and no method of the engine."""


class Told(NamedTuple):
    """One operation, and what the recorded manager returned, as far as that was recorded.

    `granted` is whether an allocation was. `gone` names a request that will not come again. `view` is the state
    behind the operation; its keys are numbers that stand for the engine's.
    """

    operation: Operation
    observation: Observation
    granted: bool | None = None
    gone: str | None = None
    view: View | None = None


class Resumed(NamedTuple):
    """All told anew: the requests, as if each had just come, how long their prompts were, and the state."""

    requests: tuple[NewRequest, ...]
    prompts: tuple[int, ...]
    view: View


class Names:
    """The names of requests, by number. A name that is taken is told apart by the number.

    A name may come again once its request is gone, unless all are `kept`, as in a trace.
    """

    def __init__(self, *, kept: bool = False) -> None:
        self._kept = kept
        self._of: dict[int, str] = {}
        self._taken: set[str] = set()

    def of(self, number: int) -> str:
        """The name of a request."""
        return self._of[number]

    def arrive(self, number: int, name: str) -> str:
        """A request has come."""
        unique = f"{name}#{number}" if name in self._taken else name
        self._of[number] = unique
        self._taken.add(unique)
        return unique

    def again(self, number: int, name: str) -> str:
        """A request is told of once more, or for the first time here."""
        return self._of[number] if number in self._of else self.arrive(number, name)

    def leave(self, number: int) -> str:
        """A request will not come again."""
        name = self._of.pop(number)
        if not self._kept:
            self._taken.discard(name)
        return name


def told(entries: Iterable[Entry], names: Names | None = None) -> Iterator[Told]:
    """The operations of a recording, in order, up to the first call that raised, unless it was an allocation."""
    return (one for one in told_anew(entries, names) if isinstance(one, Told))


def told_anew(  # noqa: C901 - what is no operation by itself
    entries: Iterable[Entry], names: Names | None = None
) -> Iterator[Told | Resumed]:
    """The operations of a recording, and where it tells all anew."""
    names = names or Names()
    last: Told | None = None
    arriving: list[tuple[NewRequest, int]] | None = None
    for entry in (one for one in entries if not isinstance(one, Cost)):
        if isinstance(entry, Snapshot):
            if arriving is not None:
                requests, prompts = zip(*arriving, strict=True) if arriving else ((), ())
                yield Resumed(requests, prompts, _view(entry, names))
                arriving = None
            last = last and last._replace(view=_view(entry, names))
            continue
        if arriving is not None and isinstance(entry, Arrive):
            request = _arrival(entry, names.again(entry.number, entry.name))
            arriving.append((request, len(entry.tokens) if entry.prompt is None else entry.prompt))
            continue
        if isinstance(entry, Raised):
            if entry.method != ALLOCATE:
                break  # what it left behind is not known
            last = last and last._replace(observation=Observation(error=entry.error), granted=None)
            continue
        if last is not None:
            yield last
            last = None
        if isinstance(entry, Sampled):
            for number, token in zip_longest(entry.numbers, entry.tokens, fillvalue=0):
                yield Told(AppendTokens(names.of(number), (token,)), NOTHING)
        elif isinstance(entry, Resumes):
            arriving = []
        else:
            last = _told(entry, names)
    if last is not None:
        yield last


def _arrival(entry: Arrive, name: str) -> NewRequest:
    return NewRequest(
        name, entry.tokens, entry.salt, entry.lora, entry.items, skip_reading=entry.skip_reading
    )


def _told(entry: Entry, names: Names) -> Told:  # noqa: C901, PLR0911, PLR0912 - one a kind
    match entry:
        case Grow(number, computed, new, lookahead, granted, blocks):
            return Told(
                Allocate(names.of(number), computed, new, lookahead=lookahead),
                Observation(blocks=blocks),
                granted,
            )
        case Append(number, tokens):
            return Told(AppendTokens(names.of(number), tokens), NOTHING)
        case StepBegins():
            return Told(NewStep(), NOTHING)
        case StepHasRun():
            return Told(StepEnds(), NOTHING)
        case PrefixAsked(number, counts):
            return Told(CommonPrefix(names.of(number)), Observation(numbers=counts))
        case EventsTaken():
            return Told(TakeEvents(), NOTHING)
        case StatsTaken(stats):
            return Told(TakeStats(), Observation(stats=stats))
        case Arrive():
            return Told(_arrival(entry, names.arrive(entry.number, entry.name)), NOTHING)
        case LookUp(number, preemptions, hit, blocks):
            return Told(Lookup(names.of(number), preemptions), Observation(blocks, hit))
        case Admit():
            return Told(
                Allocate(
                    names.of(entry.number),
                    entry.computed,
                    entry.new,
                    entry.hit,
                    entry.lookahead,
                    entry.external,
                    entry.delay,
                    entry.encoder,
                    entry.must_fit,
                    entry.reserved,
                ),
                Observation(blocks=entry.blocks),
                entry.granted,
            )
        case TablesAsked(number, blocks):
            return Told(GetBlocks(names.of(number)), Observation(blocks))
        case Release(number, gone):
            if not gone:
                return Told(Free(names.of(number)), NOTHING)
            name = names.leave(number)
            return Told(Free(name), NOTHING, gone=name)
        case Cache(number, tokens):
            return Told(CacheBlocks(names.of(number), tokens), NOTHING)
        case NewIdsTaken(blocks):
            return Told(TakeNewBlockIds(), Observation(numbers=blocks))
        case Skip(number, tokens):
            return Told(RemoveSkipped(names.of(number), tokens), NOTHING)
        case Evicted(blocks):
            return Told(Evict(blocks), NOTHING)
        case WasReset(done):
            return Told(Reset(), Observation(done=done))
        case Continue(number, computed, tokens, items):
            return Told(ContinueRequest(names.of(number), computed, tokens, items), NOTHING)
        case _:
            raise AssertionError(f"not an operation: {entry}")


def _view(snapshot: Snapshot, names: Names) -> View:
    live = [names.of(number) for number in snapshot.live]
    return View(
        ref_counts=list(snapshot.ref_counts),
        keys=list(snapshot.keys),
        free_queue=list(snapshot.free_queue),
        prefix_map=[(key, list(held)) for key, held in snapshot.prefix_map],
        tables={
            name: [list(row) for row in table] for name, table in zip(live, snapshot.tables, strict=True)
        },
        handled={name: list(counts) for name, counts in zip(live, snapshot.handled, strict=True)},
        reserved=list(snapshot.reserved),
        step_keys=list(snapshot.step_keys),
        usage=snapshot.usage,
        stats=snapshot.stats,
    )
