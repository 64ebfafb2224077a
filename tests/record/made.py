"""Recordings made without an engine: of drawn cases, as a manager here answers them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

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
from kvref.record.restored import FollowingSession
from kvref.record.told import Resumed
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


def write(
    path: Path,
    configuration: Configuration,
    noted: Iterable[e.Entry],
    frame: int = 10,
    header: e.Header | None = None,
) -> None:
    """Write a recording, so many entries a frame."""
    file = File(path, header or header_of(configuration))
    rest = list(noted)
    while rest:
        file.write(msgspec.msgpack.encode(rest[:frame]))
        del rest[:frame]
    file.close()


def identified(number: int, length: int = 80) -> tuple[Configuration, list[e.Entry]]:
    """A case as a shadow is told of it: a number for the last token of each block, and 0 for others."""
    trace = drawn(number, length)
    plain = ReferenceSession(trace.configuration)
    size = trace.configuration.hash_block_size
    operations: list[Operation] = []

    def numbers(name: str, start: int, count: int) -> tuple[int, ...]:
        hashes = plain.requests[name].block_hashes
        ends = {(at + 1) * size - 1: one for at, one in enumerate(hashes)}
        return tuple(
            1 + int.from_bytes(ends[at][:6], "big") if at in ends else 0 for at in range(start, start + count)
        )

    for operation in trace.operations:
        known = plain.requests.get(getattr(operation, "request", ""))
        start = known.num_tokens if known is not None else 0
        if plain.apply(operation).error is not None:
            break
        match operation:
            case NewRequest(request=name, tokens=tokens):
                skips = operation.skip_reading
                operations.append(NewRequest(name, numbers(name, 0, len(tokens)), skip_reading=skips))
            case AppendTokens(request=name, tokens=tokens):
                operations.append(AppendTokens(name, numbers(name, start, len(tokens))))
            case ContinueRequest(request=name, computed=computed, tokens=tokens):
                operations.append(ContinueRequest(name, computed, numbers(name, computed, len(tokens))))
            case _:
                operations.append(operation)
    session = FollowingSession(trace.configuration)
    pairs = [(operation, session.apply(operation)) for operation in operations]
    return trace.configuration, list(entries_of(pairs))


def anew(session: FollowingSession, arrived: dict[str, NewRequest]) -> Resumed:
    requests = [
        msgspec.structs.replace(one, tokens=tuple(session.requests[name].all_token_ids))
        for name, one in arrived.items()
    ]
    prompts = [session.requests[name].num_prompt_tokens for name in arrived]
    return Resumed(tuple(requests), tuple(prompts), session.view())


def resuming(resumed: Resumed, numbers: dict[str, int]) -> list[e.Entry]:
    """The entries that tell all anew."""
    arrivals = [
        e.Arrive(numbers[one.request], one.request, one.tokens, one.skip_reading, prompt=prompt)
        for one, prompt in zip(resumed.requests, resumed.prompts, strict=True)
    ]
    view = resumed.view
    snapshot = e.Snapshot(
        tuple(view.ref_counts),
        tuple(view.keys),
        tuple(view.free_queue),
        tuple((key, tuple(held)) for key, held in view.prefix_map),
        tuple(numbers[name] for name in view.tables),
        tuple(tuple(map(tuple, table)) for table in view.tables.values()),
        tuple(map(tuple, view.handled.values())),
        tuple(view.reserved),
        tuple(view.step_keys),
        view.usage,
        view.stats,
    )
    return [e.Resumes(), *arrivals, snapshot]
