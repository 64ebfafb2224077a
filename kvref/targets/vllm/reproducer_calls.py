"""The calls of a reproducer: a trace's operations as statements, with literal arguments."""

import json
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from keyword import iskeyword
from typing import Final

from msgspec.structs import replace

from kvref.errors import UserError
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
    Trace,
)
from kvref.protocol import Scheduler
from kvref.targets.vllm.release_api import ReleaseApi
from kvref.targets.vllm.reproducer_worker import Part

TAKEN: Final = {
    "manager",
    "worker",
    "found",
    "blocks",
    "fresh",
    "requests",
    "content",
    "words",
    "entry",
    "main",
}
"""What a request's variable must not be called."""

ARGUMENTS: Final = {
    "lookahead": "num_lookahead_tokens",
    "external": "num_external_computed_tokens",
    "delay": "delay_cache_blocks",
    "encoder": "num_encoder_tokens",
    "must_fit": "full_sequence_must_fit",
    "reserved": "reserved_blocks",
}


def calls_of(trace: Trace, release: ReleaseApi, parts: AbstractSet[Part]) -> list[str]:
    """The statements, in order. Raises UserError if the release lacks what the trace asks for."""
    writing = _Calls(release, parts, trace.configuration.hash_block_size)
    lines = [line for operation in trace.operations for line in writing.lines(operation)]
    if trace.operations:
        lines += [*writing.verdict(trace.operations[-1]), *["worker.step_ends()"] * _steps_left(trace)]
    return lines


def _steps_left(trace: Trace) -> int:
    """How many steps may still end behind the trace, if all was granted: it need not say so."""
    scheduler = Scheduler(trace.configuration.max_model_len)
    for operation in trace.operations:
        scheduler.record(operation, Observation(blocks=()))
    left = 0
    while scheduler.violation(StepEnds()) is None:
        scheduler.record(StepEnds(), Observation())
        left += 1
    return left


class _Calls:
    """Writes operations one by one, and knows who holds blocks, if all was granted."""

    def __init__(self, release: ReleaseApi, parts: AbstractSet[Part], hash_block_size: int) -> None:
        self._release = release
        self._hash_block_size = hash_block_size
        self._parts = parts
        self._variables: dict[str, str] = {}
        self._arrivals: dict[str, str] = {}
        self._holders: dict[str, bool] = {}
        """Whether a holder was admitted whole."""

    def lines(self, operation: Operation) -> Iterator[str]:  # noqa: C901, PLR0912 - one case a kind
        """The statements for an operation."""
        if isinstance(operation, NewRequest):
            yield self._arrival(operation)
            return
        name = getattr(operation, "request", None)
        variable = self._variables.get(name, "") if name is not None else ""
        match operation:
            case NewStep():
                yield ""
                yield "# A step."
                if self._release.has("new_step"):
                    yield "manager.new_step_starts()"
                yield "worker.step_starts()"
            case StepEnds():
                yield "worker.step_ends()"
            case Lookup():
                boundary = f", {variable}.shared_prefix_boundary" if self._release.has("in_flight") else ""
                yield f"found, _{boundary} = manager.get_computed_blocks({variable})"
            case Allocate():
                yield from self._allocation(operation, variable)
            case Free():
                self._holders.pop(operation.request, None)
                yield f"manager.free({variable})"
                yield f"worker.free({variable})"
            case AppendTokens(tokens=tokens):
                yield f"{variable}.append_output_token_ids({list(tokens)})"
                if "drafts" in self._parts:
                    yield f"worker.accept({variable}, {len(tokens)})"
            case CacheBlocks(tokens=tokens):
                yield f"manager.cache_blocks({variable}, {tokens})"
                if "loads" in self._parts:
                    yield f"worker.loaded({variable}, {tokens})"
            case RemoveSkipped(tokens=tokens):
                run = f"max(0, {tokens} - {variable}.num_in_flight_tokens)"
                run = run if self._release.has("in_flight") else str(tokens)
                yield f'manager.remove_skipped_blocks("{name}", {run})'
            case ContinueRequest():
                yield from self._continued(operation, variable)
            case _:
                yield from self._query(operation)

    def verdict(self, last: Operation) -> Iterator[str]:
        """What shows the fault behind the last operation, where no read does."""
        match last:
            case Reset() if not self._holders:
                yield "if not done:"
                yield '    raise Fault("no request holds a block, and yet the prefix cache cannot be reset")'
            case Allocate(request=name) if self._holders == {name: True} and not last.lookahead:
                token = last.computed + last.new - 1
                yield "if blocks is None:"
                yield f'    raise Fault("{name}, admitted whole and alone, is refused slots for token {token}")'
            case Allocate(request=name) if list(self._holders) == [name]:
                variable = self._variables[name]
                end = last.computed + (last.hit or 0) + last.external + last.new
                whole = replace(last, computed=0, new=end, hit=last.hit and 0, external=0, delay=False)
                call = next(line for line in self._allocation(whole, variable) if line.startswith("blocks ="))
                yield ""
                yield "# No other request holds a block: a new manager must refuse as this one does."
                yield "fresh = make_manager()"
                yield self._arrivals[name]
                yield from ("fresh.new_step_starts()",) if self._release.has("new_step") else ()
                yield f"found, *_ = fresh.get_computed_blocks({variable})"
                yield f"if blocks is None and {call.removeprefix('blocks = ').replace('manager', 'fresh')} is not None:"
                yield f'    raise Fault("{name} is refused, alone; a new manager admits it")'
            case _:
                pass

    def _arrival(self, operation: NewRequest) -> str:
        name = operation.request
        fits = name.isidentifier() and not iskeyword(name) and name not in TAKEN
        self._variables[name] = variable = name if fits else f"request_{len(self._variables)}"
        more = {
            "salt": operation.salt,
            "lora": operation.lora,
            "items": [(i.identifier, i.offset, i.length) for i in operation.items],
            "embeds": operation.embeds,
            "skip_reading": operation.skip_reading,
        }
        told = "".join(f", {option}={_quoted(value)}" for option, value in more.items() if value)
        self._arrivals[name] = f"{variable} = make_request({_quoted(name)}, {list(operation.tokens)}{told})"
        return self._arrivals[name]

    def _allocation(self, operation: Allocate, variable: str) -> Iterator[str]:
        """The call, and what the worker is told of it."""
        hit = operation.hit or 0
        start = operation.computed + hit + operation.external
        end = start + operation.new
        new = operation.new
        arguments = []
        if operation.hit is not None:
            arguments = [f"num_new_computed_tokens={hit}", "new_computed_blocks=found"]
        for field, argument in ARGUMENTS.items():
            value = getattr(operation, field)
            if field == "external" and not self._release.has("external"):
                new += value
            elif value:
                self._require(field, argument)
                arguments.append(f"{argument}={value}")
        yield f"# {self._told(operation, start, end)}"
        yield f"{variable}.num_computed_tokens = {operation.computed}"
        yield f"blocks = manager.allocate_slots({', '.join([variable, str(new), *arguments])})"
        encoder = f", encoder={operation.encoder}" if operation.encoder else ""
        first = operation.computed + hit
        if operation.delay:
            yield f"worker.schedule_load({variable}, blocks, start={first}, end={start}{encoder})"
        else:
            loads = f", hit={first}" if operation.external else ""
            yield f"worker.schedule({variable}, blocks, start={start}, end={end}{loads}{encoder})"
        self._holders.setdefault(operation.request, operation.must_fit)

    def _told(self, operation: Allocate, start: int, end: int) -> str:
        parts = [f"tokens [0, {operation.hit}) are hit"] if operation.hit else []
        if operation.external:
            when = "later" if operation.delay else "in this step"
            parts.append(f"tokens [{start - operation.external}, {start}) are loaded {when}")
        if operation.new:
            parts.append(f"tokens [{start}, {end}) are computed")
        return f"{operation.request}: {', '.join(parts)}."

    def _require(self, field: str, argument: str) -> None:
        if field in ("must_fit", "reserved") and not self._release.has(field):
            raise UserError(f"vLLM {self._release.name} has no {argument}, which the trace asks for")

    def _continued(self, operation: ContinueRequest, variable: str) -> Iterator[str]:
        """What vLLM's scheduler does to a streaming session's request [REQ-7]."""
        kept = operation.computed
        yield f"# {operation.request} goes on: its tokens from {kept} on are replaced."
        yield f"{variable}.num_computed_tokens = {kept}"
        yield f"del {variable}._all_token_ids[{kept}:]"
        if self._release.has("drops_hashes"):
            yield f"del {variable}.block_hashes[{kept // self._hash_block_size}:]"
        yield f"{variable}._output_token_ids.clear()"
        for item in operation.items:
            yield f"{variable}.mm_features.append(image({item.identifier!r}, {item.offset + kept}, {item.length}))"
        yield f"{variable}._all_token_ids.extend({list(operation.tokens)})"
        yield f"{variable}.prompt_token_ids = list({variable}._all_token_ids)"
        yield f"{variable}.update_block_hashes()"
        yield f"{variable}.num_prompt_tokens = len({variable}._all_token_ids)"

    def _query(self, operation: Operation) -> Iterator[str]:
        match operation:
            case Evict(blocks=blocks):
                yield f"manager.evict_blocks({set(blocks)})"
            case Reset():
                yield "done = manager.reset_prefix_cache()"
            case TakeEvents():
                yield "manager.take_events()"
            case TakeNewBlockIds() if self._release.has("new_step"):
                yield "manager.take_new_block_ids()"
            case TakeStats():
                yield "manager.make_prefix_cache_stats()"
            case CommonPrefix(request=name):
                yield f'manager.get_num_common_prefix_blocks("{name}")'
            case GetBlocks():
                pass  # the worker has asked for the tables it needs
            case _:
                pass


def _quoted(value: object) -> str:
    """As a formatter would have it."""
    return json.dumps(value) if isinstance(value, str) else repr(value)
