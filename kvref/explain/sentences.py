"""Operations and what they returned, each in one plain sentence."""

from collections import Counter
from collections.abc import Sequence

from kvref.events import AllBlocksCleared, BlockRemoved, BlockStored, KVCacheEvent
from kvref.operations import (
    Allocate,
    AppendTokens,
    CacheBlocks,
    ChunkedGroup,
    CommonPrefix,
    Configuration,
    ContinueRequest,
    CrossGroup,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Group,
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
    TakeEvents,
    TakeNewBlockIds,
    TakeStats,
)

DASH, TIMES = "\u2013", "\u00d7"

SHORTEST_RUN = 3
"""So many ids in a row, and more, are told as a range."""

MOST = 24
"""So many block ids are told in a sentence: the picture has them all."""

STATS = (
    "resets",
    "lookups",
    "tokens asked for",
    "tokens hit",
    "lookups after preemption",
    "tokens asked for after preemption",
    "tokens hit after preemption",
)
"""What the numbers of a statistic count [STATS-1]."""


def counted(number: int, thing: str) -> str:
    """A number of things: `1 token`, `2 tokens`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(numbers: Sequence[int], most: int = MOST) -> str:
    """Numbers in the order given, runs of neighbours as ranges: `1-4, 7`; the first `most` of them."""
    runs: list[list[int]] = []
    for number in numbers[:most]:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = [
        f"{run[0]}{DASH}{run[-1]}" if len(run) >= SHORTEST_RUN else ", ".join(map(str, run)) for run in runs
    ]
    more = [f"and {len(numbers) - most:,} more"] if len(numbers) > most else []
    return ", ".join([*told, *more])


def by_group(blocks: Sequence[Sequence[int]], most: int = MOST) -> str:
    """Block ids by group; groups without any are left out."""
    told = [f"group {group}: {_entries(ids, most)}" for group, ids in enumerate(blocks) if ids]
    return "; ".join(told) or "no blocks"


def _entries(ids: Sequence[int], most: int) -> str:
    """Table entries in order: leading nulls are counted, blocks are named."""
    leading = next((at for at, block in enumerate(ids) if block), len(ids))
    nulls = [f"∅ {TIMES}{leading}" if leading > 1 else "∅"] if leading else []
    return ", ".join([*nulls, *([listed(ids[leading:], most)] if ids[leading:] else [])])


def group_in_words(group: Group) -> str:
    """A group's kind and sizes, in tokens: `sliding window of 8, blocks of 4`."""
    match group:
        case FullGroup():
            kind = "full attention"
        case MLAGroup():
            kind = "latent attention"
        case SinkGroup(sink=sink):
            kind = f"full attention with a sink of {sink}"
        case SlidingGroup(window=window):
            kind = f"sliding window of {window}"
        case SlidingMLAGroup(window=window):
            kind = f"sliding window of {window} over latents"
        case ChunkedGroup(chunk=chunk):
            kind = f"chunks of {chunk}"
        case MambaGroup(mode=mode, speculative_blocks=drafts):
            kind = "recurrent state" + (f", mode {mode}" if mode != "none" else "")
            kind += f", {counted(drafts, 'state')} for drafts" if drafts else ""
        case CrossGroup():
            kind = "cross attention"
    return f"{kind}, blocks of {group.block_size}" + (", feeds the draft head" if group.eagle else "")


def configuration_in_words(configuration: Configuration) -> list[str]:
    """The facts of a configuration besides its groups, those that are as usual left out."""
    c = configuration
    facts = [
        f"pool of {counted(c.num_blocks, 'block')}, block 0 is null",
        f"model of {counted(c.max_model_len, 'token')}",
        f"scheduler's block {c.scheduler_block_size}, hash block {c.hash_block_size}",
    ]
    optional = (
        (not c.enable_caching, "prefix caching off"),
        (c.use_eagle, "EAGLE"),
        (c.max_num_batched_tokens is not None, f"steps of {c.max_num_batched_tokens} tokens at most"),
        (c.retention_interval is not None, f"retention interval {c.retention_interval}"),
        (c.dcp_world_size > 1, f"decode context parallelism {c.dcp_world_size}"),
        (c.pcp_world_size > 1, f"prefill context parallelism {c.pcp_world_size}"),
    )
    return facts + [fact for holds, fact in optional if holds]


def told(operation: Operation) -> str:  # noqa: C901, PLR0911, PLR0912
    """What the operation asks of the manager."""
    match operation:
        case NewRequest():
            return _arrival(operation)
        case AppendTokens(request=name, tokens=tokens):
            return f"{counted(len(tokens), 'sampled token')} of {name} arrived."
        case ContinueRequest(request=name, computed=computed, tokens=tokens):
            new = counted(len(tokens), "new token")
            return f"Session {name} goes on: it keeps {counted(computed, 'token')}, and {new} follow."
        case Lookup(request=name, preemptions=preemptions):
            again = f", preempted {counted(preemptions, 'time')} before," if preemptions else ""
            return f"{name}{again} looks up its longest cached prefix."
        case Allocate():
            return _allocation(operation)
        case Free(request=name):
            return f"{name} gives back all its blocks."
        case CacheBlocks(request=name, tokens=tokens):
            return f"The first {counted(tokens, 'token')} of {name} are there: its full blocks may be cached."
        case RemoveSkipped(request=name, tokens=tokens):
            return f"With {counted(tokens, 'token')} computed, {name} releases what it no longer reads."
        case Evict(blocks=blocks):
            return f"Content is to be forgotten: {_blocks(blocks)}."
        case Reset():
            return "The whole prefix cache is to be forgotten."
        case NewStep():
            return "A scheduling step begins."
        case StepEnds():
            return "The oldest launched step has run."
        case TakeEvents():
            return "Events are taken once more."
        case TakeNewBlockIds():
            return "Which blocks are new, and have to be zeroed?"
        case TakeStats():
            return "The statistics are taken, and start anew."
        case CommonPrefix(request=name):
            return f"How many leading blocks of {name} does every request hold?"
        case GetBlocks(request=name):
            return f"What is the block table of {name}?"


def _arrival(operation: NewRequest) -> str:
    details = (
        (bool(operation.salt), f"salt {operation.salt}"),
        (bool(operation.lora), f"adapter {operation.lora}"),
        (bool(operation.items), counted(len(operation.items), "multimodal item")),
        (operation.embeds is not None, "given as embeddings"),
        (operation.skip_reading, "does not read the prefix cache"),
    )
    more = "; ".join(text for holds, text in details if holds)
    arrives = f"Request {operation.request} arrives with {counted(len(operation.tokens), 'token')}"
    return f"{arrives} ({more})." if more else f"{arrives}."


def _allocation(operation: Allocate) -> str:
    o = operation
    behind = f" behind {counted(o.computed, 'computed token')}" if o.computed else ""
    details = (
        (bool(o.hit), f"with the {counted(o.hit or 0, 'token')} of its hit"),
        (o.external > 0, f"with {counted(o.external, 'token')} loaded from elsewhere"),
        (o.delay, "nothing is cached yet"),
        (o.lookahead > 0, f"{counted(o.lookahead, 'slot')} for drafts"),
        (o.encoder > 0, f"{counted(o.encoder, 'token')} of an encoder"),
        (o.must_fit, "the whole request must fit"),
        (o.reserved > 0, f"{counted(o.reserved, 'block')} reserved for others"),
    )
    more = "; ".join(text for holds, text in details if holds)
    asks = f"{o.request} asks for slots for {counted(o.new, 'new token')}{behind}"
    return f"{asks} ({more})." if more else f"{asks}."


def answered(operation: Operation, observation: Observation | None) -> str:  # noqa: C901, PLR0911
    """What came of it; nothing for a call that returns nothing."""
    seen = observation
    if seen is None:
        return "No answer."
    if seen.error is not None:
        return f"It raises {seen.error}."
    match operation:
        case Lookup():
            found = f": {by_group(seen.blocks)}" if seen.blocks and any(seen.blocks) else ""
            return f"A hit of {counted(seen.tokens or 0, 'token')}{found}."
        case Allocate() if seen.blocks is None:
            return "Refused."
        case Allocate():
            appended = any(seen.blocks or ())
            return f"Granted: {by_group(seen.blocks or ())}." if appended else "Granted: nothing is appended."
        case GetBlocks():
            return f"{by_group(seen.blocks or ()).capitalize()}."
        case Reset():
            return "Done." if seen.done else "Refused: a block is held."
        case TakeNewBlockIds():
            return f"{_blocks(seen.numbers or ()).capitalize()}."
        case CommonPrefix():
            return f"By group: {', '.join(map(str, seen.numbers or ()))}."
        case TakeStats() if seen.stats is not None:
            return f"{stats_in_words(seen.stats).capitalize()}."
    return ""


def stats_in_words(stats: Sequence[bool | int] | None) -> str:
    """Statistics by name, those that are zero left out."""
    if stats is None:
        return "none are kept"
    counts = zip(STATS, stats, strict=True)
    return ", ".join(f"{name} {int(number):,}" for name, number in counts if number) or "all zero"


def events_in_words(events: Sequence[KVCacheEvent]) -> list[str]:
    """What a consumer of events is told, what is told of one group and kind together [EVENT-2]."""
    removed: Counter[int | None] = Counter()
    others: list[str] = []
    for event in events:
        match event:
            case BlockStored(block_hashes=hashes, token_ids=tokens, group_idx=group):
                what = f"{counted(len(hashes), 'block')} of {counted(len(tokens), 'token')}"
                others.append(f"stored in group {group}: {what}")
            case BlockRemoved(block_hashes=hashes, group_idx=group):
                removed[group] += len(hashes)
            case AllBlocksCleared():
                others.append("all cleared")
    return [*(f"removed from group {g}: {counted(n, 'block')}" for g, n in removed.items()), *others]


def _blocks(ids: Sequence[int]) -> str:
    if not ids:
        return "no block"
    return f"block {ids[0]}" if len(ids) == 1 else f"{len(ids):,} blocks: {listed(ids)}"
