"""Recordings made without an engine: of drawn cases, as a manager here answers them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kvref.fuzz.cases import draw_case
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    Configuration,
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
    Trace,
)
from kvref.record import entries as e
from kvref.record.file import File
from kvref.record.writer import encoder
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession


def drawn(number: int, length: int = 80) -> Trace:
    """A case that a recording can hold: nobody records embeddings."""
    while True:
        trace = draw_case(5, "mixed", number, length, ReferenceSession, ()).trace
        embeds = any(isinstance(one, NewRequest) and one.embeds is not None for one in trace.operations)
        if len(trace.operations) > length // 2 and not embeds:
            return trace
        number += 1000


def answered(trace: Trace, opener: Opener = ReferenceSession) -> list[tuple[Operation, Observation]]:
    """The operations of a trace, up to the first that raises, and what a manager returned."""
    session = opener(trace.configuration)
    seen = []
    for operation in trace.operations:
        observation = session.apply(operation)
        if observation.error is not None:
            break
        seen.append((operation, observation))
    return seen


def entries_of(pairs: Iterable[tuple[Operation, Observation]]) -> Iterator[e.Entry]:
    """What a recorder would have noted: the inverse of `told`."""
    numbers: dict[str, int] = {}
    for operation, seen in pairs:
        name = getattr(operation, "request", "")
        if isinstance(operation, NewRequest):
            numbers[name] = len(numbers)
        yield _entry(operation, seen, numbers.get(name, -1))


def _entry(operation: Operation, seen: Observation, number: int) -> e.Entry:  # noqa: C901, PLR0911, PLR0912
    match operation:
        case NewRequest():
            rest = (operation.skip_reading, operation.salt, operation.lora, operation.items)
            return e.Arrive(number, operation.request, operation.tokens, *rest)
        case AppendTokens():
            return e.Append(number, operation.tokens)
        case ContinueRequest():
            return e.Continue(number, operation.computed, operation.tokens, operation.items)
        case Lookup():
            return e.LookUp(number, operation.preemptions, seen.tokens or 0, seen.blocks)
        case Allocate():
            asked = (operation.computed, operation.new, operation.lookahead)
            granted = (seen.blocks is not None, seen.blocks)
            admit = e.Admit(
                number,
                *asked,
                *granted,
                operation.hit,
                operation.external,
                operation.delay,
                operation.encoder,
                operation.must_fit,
                operation.reserved,
            )
            grow = e.Grow(number, *asked, *granted)
            return grow if admit == e.Admit(number, *asked, *granted) else admit
        case Free():
            return e.Release(number, gone=False)
        case CacheBlocks():
            return e.Cache(number, operation.tokens)
        case RemoveSkipped():
            return e.Skip(number, operation.tokens)
        case Evict():
            return e.Evicted(operation.blocks)
        case Reset():
            return e.WasReset(seen.done is True)
        case NewStep():
            return e.StepBegins()
        case StepEnds():
            return e.StepHasRun()
        case TakeEvents():
            return e.EventsTaken(0)
        case TakeNewBlockIds():
            return e.NewIdsTaken(seen.numbers)
        case TakeStats():
            return e.StatsTaken(seen.stats)
        case CommonPrefix():
            return e.PrefixAsked(number, seen.numbers or ())
        case GetBlocks():
            return e.TablesAsked(number, seen.blocks)


def header_of(configuration: Configuration) -> e.Header:
    """The header of a recording that keeps everything."""
    return e.Header(configuration, "vllm 0.23.0", "keep", blocks=True, id="made")


def write(path: Path, configuration: Configuration, noted: Iterable[e.Entry], frame: int = 10) -> None:
    """Write a recording, so many entries a frame."""
    file = File(path, header_of(configuration))
    rest = list(noted)
    while rest:
        file.write(encoder().encode(rest[:frame]))
        del rest[:frame]
    file.close()
