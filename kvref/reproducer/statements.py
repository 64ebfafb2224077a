"""A trace's operations as statements with literal arguments; the manager's API is vLLM's."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from keyword import iskeyword
from typing import Final

from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    CommonPrefix,
    ContinueRequest,
    Evict,
    Free,
    GetBlocks,
    Item,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    RemoveSkipped,
    Reset,
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)

TAKEN: Final = {"manager", "found", "hit", "blocks", "done", "events", "new_ids", "stats", "common", "ids"}
"""What a request's variable must not be called."""

ARGUMENTS: Final = {
    "lookahead": "num_lookahead_tokens",
    "external": "num_external_computed_tokens",
    "delay": "delay_cache_blocks",
    "encoder": "num_encoder_tokens",
    "must_fit": "full_sequence_must_fit",
    "reserved": "reserved_blocks",
}

OPTIONS: Final = ("salt", "lora", "items", "embeds", "skip_reading")
"""What a request may have besides its tokens."""


class Statements(ABC):
    """Writes operations one by one."""

    def __init__(self) -> None:
        self._variables: dict[str, str] = {}
        self._computed: dict[str, int] = {}
        """What requests were told of the tokens that are computed."""

    def arrival(self, operation: NewRequest) -> str:
        """A request arrives."""
        name = operation.request
        fits = name.isidentifier() and not iskeyword(name) and name not in TAKEN
        self._variables[name] = variable = name if fits else f"request_{len(self._variables)}"
        return f"{variable} = {made(operation)}"

    @abstractmethod
    def continued(self, operation: ContinueRequest, variable: str) -> Iterator[str]:
        """A streaming session goes on [REQ-7]."""

    def lines(self, operation: Operation) -> Iterator[str]:  # noqa: C901, PLR0912 - one case a kind
        """The statements for an operation; the last one is the call."""
        name = getattr(operation, "request", "")
        variable = self._variables.get(name, "")
        match operation:
            case NewRequest():
                yield self.arrival(operation)
            case AppendTokens(tokens=tokens):
                yield f"{variable}.append_output_token_ids({list(tokens)})"
            case ContinueRequest():
                yield from self._progress(operation, variable)
                yield from self.continued(operation, variable)
            case Lookup(preemptions=preemptions):
                if preemptions:
                    yield f"{variable}.num_preemptions = {preemptions}"
                yield f"found, hit = manager.get_computed_blocks({variable})"
            case Allocate():
                yield from self._progress(operation, variable)
                yield allocation(operation, variable)
            case Free():
                yield f"manager.free({variable})"
            case CacheBlocks(tokens=tokens):
                yield f"manager.cache_blocks({variable}, {tokens})"
            case RemoveSkipped(tokens=tokens):
                yield f"manager.remove_skipped_blocks({quoted(name)}, {tokens})"
            case Evict(blocks=blocks):
                yield f"manager.evict_blocks({{{', '.join(map(str, blocks))}}})"
            case Reset():
                yield "done = manager.reset_prefix_cache()"
            case NewStep():
                yield "manager.new_step_starts()"
            case TakeEvents():
                yield "events = manager.take_events()"
            case TakeNewBlockIds():
                yield "new_ids = manager.take_new_block_ids()"
            case TakeStats():
                yield "stats = manager.make_prefix_cache_stats()"
            case CommonPrefix():
                yield f"common = manager.get_num_common_prefix_blocks({quoted(name)})"
            case GetBlocks():
                yield f"blocks = manager.get_blocks({quoted(name)})"
            case _:
                pass

    def _progress(self, operation: Allocate | ContinueRequest, variable: str) -> Iterator[str]:
        """The caller's count, where it is another one than before."""
        if self._computed.get(variable, 0) != operation.computed:
            self._computed[variable] = operation.computed
            yield f"{variable}.num_computed_tokens = {operation.computed}"


def made(operation: NewRequest) -> str:
    """The expression that makes the request."""
    values = {option: getattr(operation, option) for option in OPTIONS}
    values["items"] = [tuple_of(item) for item in operation.items]
    more = "".join(f", {option}={quoted(value)}" for option, value in values.items() if value)
    return f"make_request({quoted(operation.request)}, {list(operation.tokens)}{more})"


def tuple_of(item: Item) -> tuple[str, int, int]:
    """An item's identifier, offset and length."""
    return item.identifier, item.offset, item.length


def quoted(value: object) -> str:
    """As a formatter would have it."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def allocation(operation: Allocate, variable: str) -> str:
    """The call for new blocks."""
    arguments = [variable, str(operation.new)]
    if operation.hit is not None:
        arguments += [f"num_new_computed_tokens={operation.hit}", "new_computed_blocks=found"]
    for field, argument in ARGUMENTS.items():
        value = getattr(operation, field)
        if value:
            arguments.append(f"{argument}={value}")
    return f"blocks = manager.allocate_slots({', '.join(arguments)})"
