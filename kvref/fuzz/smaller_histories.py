"""Smaller lists of operations than a given one. They need not be legal: `Legal.fit` mends what can be mended."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from kvref.operations import (
    EMBEDDING_BYTES,
    Allocate,
    AppendTokens,
    CacheBlocks,
    ContinueRequest,
    Evict,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
)

Operations = tuple[Operation, ...]
replace = msgspec.structs.replace

MOST_PAIRED = 24
"""Pairs are tried in lists that are no longer: there are many."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WHOLE = 10**6
"""More tokens than any request has: cut down to what is left."""


def size_of(operations: Sequence[Operation]) -> tuple[int, ...]:
    """How large a history is: by operations, then tokens, then arguments, then different tokens."""
    texts = [getattr(operation, "tokens", ()) for operation in operations]
    tokens = [token for text in texts if isinstance(text, tuple) for token in text]
    arguments = 0
    for operation in operations:
        match operation:
            case Allocate():
                flags = (operation.delay, operation.must_fit, operation.hit is not None)
                numbers = (operation.lookahead, operation.external, operation.encoder, operation.reserved)
                arguments += sum(flags) + sum(numbers)
            case NewRequest():
                extras = (operation.salt is not None, bool(operation.lora), operation.embeds is not None)
                arguments += sum(extras) + operation.skip_reading + len(operation.items)
            case ContinueRequest(items=items):
                arguments += len(items)
            case Evict(blocks=blocks):
                arguments += len(blocks)
            case _:
                pass
    names = {getattr(operation, "request", "") for operation in operations}
    return (len(operations), len(tokens), arguments, len(set(tokens)), sum(tokens), sum(map(len, names)))


def without_requests(operations: Operations, count: int) -> Iterator[Operations]:
    """So many requests less that arrived one after another, the last ones first; not all of them at once."""
    names = _names(operations)
    for end in range(len(names), 0, -count) if count == 1 or count < len(names) else ():
        out = set(names[max(0, end - count) : end])
        yield tuple(o for o in operations if getattr(o, "request", None) not in out)


def without_stretch(operations: Operations, length: int) -> Iterator[Operations]:
    """So many operations less in one place, from the end; not all of them at once."""
    for end in range(len(operations), 0, -length) if length == 1 or length < len(operations) else ():
        yield operations[: max(0, end - length)] + operations[end:]


def without_pair(operations: Operations) -> Iterator[Operations]:
    """Two operations less that are not neighbours."""
    if len(operations) > MOST_PAIRED:
        return
    for last in range(len(operations) - 1, 0, -1):
        for first in range(last - 1, -1, -1):
            yield (*operations[:first], *operations[first + 1 : last], *operations[last + 1 :])


def with_larger_steps(operations: Operations) -> Iterator[Operations]:
    """One allocation computes all there is, and the request's next one is left out."""
    for at, operation in enumerate(operations):
        if not isinstance(operation, Allocate):
            continue
        whole = replace(operation, new=WHOLE)
        for later in range(at + 1, len(operations)):
            other = operations[later]
            if isinstance(other, Allocate) and other.request == operation.request:
                yield (*operations[:at], whole, *operations[at + 1 : later], *operations[later + 1 :])
                yield (*operations[:at], whole, *operations[later + 1 :])
                break


def with_steps_in_flight(operations: Operations) -> Iterator[Operations]:
    """The next step begins where one ended, which runs on meanwhile."""
    for at, operation in enumerate(operations):
        later = next((i for i in range(at, len(operations)) if isinstance(operations[i], NewStep)), None)
        if isinstance(operation, StepEnds) and later is not None:
            between = operations[at + 1 : later]
            yield (*operations[:at], operations[later], *between, *operations[later + 1 :])


def with_longer_prompts(operations: Operations) -> Iterator[Operations]:
    """Sampled tokens, or a session's next input, belong to the prompt instead."""
    for at, operation in enumerate(operations):
        if isinstance(operation, AppendTokens | ContinueRequest):
            kept = operation.computed if isinstance(operation, ContinueRequest) else WHOLE
            yield tuple(
                replace(o, tokens=o.tokens[:kept] + operation.tokens, embeds=None)
                if isinstance(o, NewRequest) and o.request == operation.request
                else o
                for o in (*operations[:at], *operations[at + 1 :])
            )


def with_smaller(operations: Operations) -> Iterator[Operations]:
    """One operation with less in it; or all of a kind."""
    for kind in (NewRequest, Allocate):
        yield tuple(
            _plain(operation) if isinstance(operation, kind) else operation for operation in operations
        )
    for at, operation in enumerate(operations):
        for one in _smaller(operation):
            yield (*operations[:at], one, *operations[at + 1 :])


def with_fewer_tokens(operations: Operations) -> Iterator[Operations]:
    """Shorter prompts, and fewer different tokens; what prompts have in common, they keep."""
    for divisor in (8, 4, 2):
        yield divided(operations, divisor)
    prompts = [operation for operation in operations if isinstance(operation, NewRequest)]
    longest = max((len(prompt.tokens) for prompt in prompts), default=0)
    for length in (longest // 2, longest // 4, 2, 1):
        yield tuple(_between(o, length, WHOLE) if isinstance(o, NewRequest) else o for o in operations)
    for prompt in prompts:
        whole = len(prompt.tokens)
        for length in (whole // 2, whole - 4, whole - 1):
            yield tuple(_between(o, 0, length) if o is prompt else o for o in operations)
    values = sorted({token for operation in operations for token in _text(operation)}, reverse=True)
    yield tuple(_renamed(operation, dict.fromkeys(values, 0)) for operation in operations)
    for value in values:
        for less in range(min(value, 3)):
            yield tuple(_renamed(operation, {value: less}) for operation in operations)


def divided(operations: Operations, divisor: int, *, up: bool = True) -> Operations:
    """All lengths divided, and rounded up or down."""

    def share(length: int) -> int:
        return -(-length // divisor) if up else length // divisor

    return tuple(_thinned(operation, divisor, share) for operation in operations)


def with_short_names(operations: Operations) -> Iterator[Operations]:
    """Requests named a, b, c in their order."""
    short = {name: LETTERS[at] for at, name in enumerate(_names(operations)) if at < len(LETTERS)}
    if not short.keys() & set(short.values()) - {k for k, v in short.items() if k == v}:
        yield tuple(
            replace(o, request=short.get(o.request, o.request)) if hasattr(o, "request") else o
            for o in operations
        )


def _names(operations: Operations) -> list[str]:
    return [operation.request for operation in operations if isinstance(operation, NewRequest)]


def _plain(operation: NewRequest | Allocate) -> Operation:
    """The operation without extras."""
    if isinstance(operation, NewRequest):
        return NewRequest(operation.request, operation.tokens)
    return Allocate(operation.request, operation.computed, operation.new, operation.hit)


def _smaller(operation: Operation) -> Iterator[Operation]:  # noqa: C901, PLR0912 - one case a kind
    match operation:
        case NewRequest():
            yield _plain(operation)
            if operation.embeds is not None:
                yield replace(operation, embeds=None)
            for change in ({"salt": None}, {"lora": None}, {"items": ()}, {"skip_reading": False}):
                yield replace(operation, **change)
            for at in range(len(operation.items)):
                yield replace(operation, items=operation.items[:at] + operation.items[at + 1 :])
        case AppendTokens(tokens=tokens) | ContinueRequest(tokens=tokens):
            for less in sorted({1, len(tokens) // 2, len(tokens) - 1}):
                if 0 < less < len(tokens):
                    yield replace(operation, tokens=tokens[:less])
            if isinstance(operation, ContinueRequest):
                yield replace(operation, items=())
        case Allocate():
            yield replace(_plain(operation), new=WHOLE)
            yield _plain(operation)
            yield replace(operation, hit=None)
            changes = ("lookahead", 0), ("encoder", 1), ("must_fit", False), ("reserved", 0), ("delay", False)
            for name, value in (
                *changes,
                ("external", operation.external // 2),
                ("external", operation.external - 1),
            ):
                if getattr(operation, name) > value >= 0:
                    yield replace(operation, **{name: value})
        case Evict(blocks=blocks):
            for block in blocks:
                yield Evict(tuple(b for b in blocks if b != block))
        case _:
            pass


def _text(operation: Operation) -> tuple[int, ...]:
    return operation.tokens if isinstance(operation, NewRequest | AppendTokens | ContinueRequest) else ()


def _renamed(operation: Operation, names: dict[int, int]) -> Operation:
    if not isinstance(operation, NewRequest | AppendTokens | ContinueRequest):
        return operation
    return replace(operation, tokens=tuple(names.get(token, token) for token in operation.tokens))


def _between(prompt: NewRequest, start: int, end: int) -> NewRequest:
    """The prompt without what lies outside; one token is left at least."""
    length = len(prompt.tokens)
    start, end = min(start, length - 1), max(1, min(end, length))
    items = tuple(
        replace(item, offset=item.offset - start)
        for item in prompt.items
        if start <= item.offset and item.offset + item.length <= end
    )
    embeds = prompt.embeds and prompt.embeds[start * EMBEDDING_BYTES : end * EMBEDDING_BYTES]
    return replace(prompt, tokens=prompt.tokens[start:end], items=items, embeds=embeds)


def _thinned(operation: Operation, divisor: int, share: Callable[[int], int]) -> Operation:
    match operation:
        case NewRequest(tokens=tokens):
            length = max(1, share(len(tokens)))
            return replace(_between(operation, 0, length), tokens=tokens[::divisor][:length], items=())
        case Allocate(new=new, external=external, hit=hit):
            new = max(min(new, 1), share(new))
            return replace(operation, new=new, external=share(external), hit=hit and hit // divisor)
        case CacheBlocks(request=name, tokens=valid):
            return CacheBlocks(name, share(valid))
        case _:
            return operation
