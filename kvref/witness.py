"""Tells the invariants what happened: operations and observations in the invariants' own terms.

The invariants know nothing of kvref, so that they can be read, and trusted, alone. This is the only
place that knows both.
"""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

import msgspec

from invariants import Checker, GroupSetting, Setting, Step, View, Violation
from invariants import step as told
from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent
from kvref.operations import (
    EMBEDDING_BYTES,
    Allocate,
    AppendTokens,
    CacheBlocks,
    ChunkedGroup,
    Configuration,
    ContinueRequest,
    CrossGroup,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Group,
    Item,
    Lookup,
    MambaGroup,
    MLAGroup,
    NewRequest,
    NewStep,
    Observation,
    Operation,
    RemoveSkipped,
    Reset,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
    StepEnds,
    TakeStats,
)
from spec.attention import (
    AlignedMambaState,
    Attention,
    ChunkedLocalAttention,
    CrossAttention,
    FullAttention,
    MambaState,
    SinkAttention,
    SlidingWindowAttention,
)
from spec.content import Span
from spec.units import Blocks, Tokens

NO_GROUP = -1


def attention_of(group: Group, context_parallel_size: int) -> Attention:
    """What the group's layers read [DCP-1]."""
    size = Tokens(group.block_size * context_parallel_size)
    match group:
        case FullGroup() | MLAGroup():
            return FullAttention(size)
        case SinkGroup(sink=sink):
            return SinkAttention(size, Tokens(sink))
        case SlidingGroup(window=window) | SlidingMLAGroup(window=window):
            return SlidingWindowAttention(size, Tokens(window))
        case ChunkedGroup(chunk=chunk):
            return ChunkedLocalAttention(size, Tokens(chunk))
        case MambaGroup(mode=mode, speculative_blocks=speculative):
            kind = AlignedMambaState if mode == "align" else MambaState
            return kind(size, Blocks(speculative))
        case CrossGroup():
            return CrossAttention(size)


def setting_of(configuration: Configuration) -> Setting:
    """The facts of a legal configuration [CFG-2, CFG-5, CFG-6, HIT-1]."""
    groups, factor = configuration.groups, configuration.dcp_world_size * configuration.pcp_world_size
    specs = [msgspec.structs.replace(group, eagle=False) for group in groups]
    feeds_all = configuration.use_eagle and not any(group.eagle for group in groups)
    feeding = {specs.index(spec) for spec, g in zip(specs, groups, strict=True) if g.eagle or feeds_all}
    lone = len(groups) == 1
    return Setting(
        groups=tuple(
            GroupSetting(
                attention_of(group, factor),
                eagle=configuration.enable_caching and specs.index(spec) in feeding,
                spec=specs.index(spec),
            )
            for group, spec in zip(groups, specs, strict=True)
        ),
        num_blocks=Blocks(configuration.num_blocks),
        max_model_len=Tokens(configuration.max_model_len),
        hash_block_size=Tokens(configuration.hash_block_size),
        hit_alignment=Tokens(groups[0].block_size * factor if lone else configuration.scheduler_block_size),
        caching=configuration.enable_caching,
        events=configuration.enable_kv_cache_events,
    )


def step_of(operation: Operation, observation: Observation) -> Step:
    """The operation and what came of it."""
    events = tuple([_event(event) for event in observation.events]) if observation.events else ()
    if observation.error is not None:
        return Step(told.Failed(observation.error), events)
    return Step(_action(operation, observation), events)


def _action(operation: Operation, observation: Observation) -> told.Action:  # noqa: C901, PLR0911, PLR0912
    match operation:
        # Roughly by frequency.
        case Allocate():
            return _allocation(operation, observation)
        case NewStep():
            return told.BeginStep()
        case AppendTokens(request=name, tokens=tokens):
            return told.Append(name, tokens)
        case StepEnds() | GetBlocks():
            return told.Query()
        case Lookup(request=name):
            return told.LookUp(name, observation.blocks or (), Tokens(observation.tokens or 0))
        case NewRequest():
            return _arrival(operation)
        case ContinueRequest(request=name, computed=computed, tokens=tokens, items=items):
            return told.Continue(name, Tokens(computed), tokens, _spans(items))
        case Free(request=name):
            return told.Free(name)
        case CacheBlocks(request=name, tokens=computed):
            return told.Cache(name, Tokens(computed))
        case RemoveSkipped(request=name, tokens=computed):
            return told.Skip(name, Tokens(computed))
        case Evict(blocks=blocks):
            return told.Evict(blocks)
        case Reset():
            return told.Reset(observation.done is True)
        case TakeStats():
            return told.TakeStats()
    return told.Query()


def _arrival(operation: NewRequest) -> told.Arrive:
    embeds = operation.embeds
    starts = range(0, len(embeds), EMBEDDING_BYTES) if embeds is not None else range(0)
    return told.Arrive(
        operation.request,
        operation.tokens,
        adapter=operation.lora or None,
        salt=operation.salt or None,
        spans=_spans(operation.items),
        rows=None if embeds is None else tuple(embeds[at : at + EMBEDDING_BYTES] for at in starts),
        reads_cache=not operation.skip_reading,
    )


def _allocation(operation: Allocate, observation: Observation) -> told.Allocate:
    return told.Allocate(
        operation.request,
        computed=Tokens(operation.computed),
        new=Tokens(operation.new),
        hit=None if operation.hit is None else Tokens(operation.hit),
        lookahead=Tokens(operation.lookahead),
        external=Tokens(operation.external),
        delay=operation.delay,
        encoder=Tokens(operation.encoder),
        must_fit=operation.must_fit,
        appended=observation.blocks,
    )


def _spans(items: Sequence[Item]) -> tuple[Span, ...]:
    return tuple(Span(item.identifier, Tokens(item.offset), Tokens(item.length)) for item in items)


def _event(event: KVCacheEvent) -> told.Event:
    match event:
        case BlockStored(block_hashes=hashes, group_idx=group):
            return told.Stored(hashes, NO_GROUP if group is None else group)
        case BlockRemoved(block_hashes=hashes, group_idx=group):
            return told.Removed(hashes, NO_GROUP if group is None else group)
        case AllBlocksCleared():
            return told.Cleared()


def untouched(configuration: Configuration) -> View:
    """The view of a manager that has just been built: all blocks free, in order [POOL-1, SINK-1]."""
    setting = setting_of(configuration)
    count, reserved = setting.num_blocks, setting.reserved_blocks
    free = list(range(1 + reserved, count))
    return View(
        ref_counts=[0] * count,
        keys=[None] * count,
        free_queue=free,
        prefix_map=[],
        tables={},
        handled={},
        reserved=list(range(1, 1 + reserved)),
        step_keys=[],
        usage=1.0 - len(free) / setting.usable_blocks if setting.usable_blocks else 0.0,
        stats=(False, 0, 0, 0, 0, 0, 0) if configuration.log_stats else None,
    )


@dataclass(slots=True)
class Witness:
    """Sees every operation on one manager, from the first on, and says which invariants it breaks.

    `initial` is the manager's view before the first; without it, that of a sound new manager.
    """

    configuration: Configuration
    initial: InitVar[View | None] = None
    checker: Checker = field(init=False)
    last: View = field(init=False)

    def __post_init__(self, initial: View | None) -> None:
        """Begin without a past."""
        self.checker = Checker(setting_of(self.configuration))
        self.last = untouched(self.configuration) if initial is None else initial

    def sees(self, operation: Operation, observation: Observation, view: View) -> list[Violation]:
        """What is wrong with `observation`, or with the `view` behind it."""
        before, self.last = self.last, view
        return self.checker.step(before, step_of(operation, observation), view)
