"""The known deviations of vLLM 0.23.0, each with a recogniser.

`Q-n` ids are those of the rule index. Every entry has a minimal trace of the same name in
`traces/`, which a test replays on the real vLLM: it must still deviate there, and a near miss must
not be recognised.

A recogniser works out, from the reference's state alone, what vLLM's documented algorithm answers
(`PeerLookup`) or counts (`Allocation`), and covers only what differs from the definition: where it
says yes, vLLM must deviate. So nothing else can go wrong unseen in a configuration with a deviation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from kvref.blocks import KVCacheBlock
from kvref.operations import (
    Allocate,
    ChunkedGroup,
    Configuration,
    CrossGroup,
    FullGroup,
    Group,
    Lookup,
    MambaGroup,
    MLAGroup,
    RemoveSkipped,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.reference.groups import Group as GroupState
from kvref.request import Request
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict
from kvref.targets.reference import ReferenceSession
from spec import capacity, eviction
from spec.arithmetic import covering_blocks, full_blocks, round_down, tokens_in
from spec.attention import (
    AlignedMambaState,
    ChunkedLocalAttention,
    FullAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.hits import SpecGroup, longest_hit, longest_usable, serves
from spec.units import NULL_BLOCK, Blocks, RequestId, Tokens

FULL_LIKE = (FullGroup, MLAGroup, SinkGroup)
WINDOWED = (SlidingGroup, SlidingMLAGroup)


# Configurations


def _unmarked(group: Group) -> Group:
    """The group's spec: the EAGLE mark is not part of it."""
    return msgspec.structs.replace(group, eagle=False)


def specs(configuration: Configuration) -> list[Group]:
    """The different specs, in order of first appearance."""
    return list(dict.fromkeys(_unmarked(group) for group in configuration.groups))


def eagle_specs(configuration: Configuration) -> set[Group]:
    """The specs whose groups carry the EAGLE bit [CFG-5, CFG-6]."""
    marked = {_unmarked(group) for group in configuration.groups if group.eagle}
    if not marked and configuration.use_eagle:
        marked = set(specs(configuration))
    return marked if configuration.enable_caching else set()


def _lone(configuration: Configuration) -> bool:
    return len(configuration.groups) == 1


def _has(configuration: Configuration, *kinds: type[Group]) -> bool:
    return any(isinstance(group, kinds) for group in configuration.groups)


def _aligned_mamba(configuration: Configuration) -> bool:
    return any(isinstance(g, MambaGroup) and g.mode == "align" for g in configuration.groups)


def _capped(configuration: Configuration) -> bool:
    return _has(configuration, SlidingGroup, SlidingMLAGroup, ChunkedGroup)


# Situations


def _session(situation: Situation) -> ReferenceSession:
    """The reference, whose state the recognisers read."""
    assert isinstance(situation.session, ReferenceSession)  # noqa: S101 - nothing else is compared with
    return situation.session


Table = tuple[bool, ...]
"""A hit's block table, of one spec group: by entry, whether it is a block and not null."""


class PeerLookup:
    """The lookup that vLLM 0.23.0 does, over what the reference has cached [HIT-1 to HIT-5].

    Its tables can have another length than its hit [Q-2], and the hit is not always the definition's.
    """

    def __init__(self, groups: Sequence[SpecGroup], num_tokens: Tokens, alignment: Tokens) -> None:
        self.groups = sorted(groups, key=lambda group: not isinstance(group.attention, FullAttention))
        self.alignment = alignment
        self.limit = longest_usable(num_tokens)
        self.tables: list[Table | None] = [None] * len(groups)
        self.hit = self._lone() if len(groups) == 1 else self._iterate()

    def shown(self) -> list[Table]:
        """The tables, cut as far as vLLM cuts them [HIT-5]."""
        tables = [table or () for table in self.tables]
        first = self.groups[0].attention
        if isinstance(first, FullAttention):
            tables[0] = tables[0][: full_blocks(self.hit, first.block_size)]
        return tables

    def _lone(self) -> Tokens:
        (group,) = self.groups
        self.tables[0] = table = self._find(group, self.limit, drop=group.eagle)
        return tokens_in(Blocks(len(table)), group.attention.block_size)

    def _iterate(self) -> Tokens:
        """Shrink the hit, group after group, until all agree [HIT-4]."""
        hit, verified = self.limit, set[int]()
        while True:
            current = hit
            for place, group in enumerate(self.groups):
                size = group.attention.block_size
                if isinstance(group.attention, FullAttention) and self.tables[place] is not None:
                    current = round_down(current, size)
                    continue
                drop = group.eagle and place not in verified
                limit = Tokens(min(current + size, self.limit)) if drop else current
                table = self._find(group, limit, drop=drop)
                found = tokens_in(Blocks(len(table)), size)
                if drop:
                    verified.add(place)
                elif found < current:
                    verified.clear()
                current, self.tables[place] = found, table
            if current >= hit:
                return hit
            hit = current
            if self._is_simple():
                return hit

    def _is_simple(self) -> bool:
        return len(self.groups) == 2 and isinstance(self.groups[0].attention, FullAttention)  # noqa: PLR2004

    def _find(self, group: SpecGroup, limit: Tokens, *, drop: bool) -> Table:
        """One spec group's longest hit of at most `limit` tokens [FULL-1, SWA-2, CHUNK-2, MAMBA-1]."""
        attention = group.attention
        size, count = attention.block_size, full_blocks(limit, attention.block_size)
        if isinstance(attention, SlidingWindowAttention):
            return self._find_window(group, attention, count, drop=drop)
        if isinstance(attention, ChunkedLocalAttention):
            nulls = attention.skipped_blocks(limit)
            return (False,) * nulls + (True,) * self._run(group, nulls, count)
        if isinstance(attention, MambaState):
            ends = (i for i in range(count, 0, -1) if i * size % self.alignment == 0)
            end = next((i for i in ends if group.is_cached(Blocks(i - 1))), 0)
            return (False,) * (end - 1) + (True,) * min(end, 1)
        return self._aligned((True,) * max(0, self._run(group, 0, count) - drop), size)

    def _run(self, group: SpecGroup, start: int, end: int) -> int:
        return next((i for i in range(start, end) if not group.is_cached(Blocks(i))), max(start, end)) - start

    def _find_window(
        self, group: SpecGroup, attention: SlidingWindowAttention, count: int, *, drop: bool
    ) -> Table:
        """Runs are tried from the end; a run up to block 0 is a prefix, however short [SWA-2 to SWA-4]."""
        size, wanted, run = attention.block_size, attention.tail_blocks() + drop, 0
        table: Table = ()
        for i in range(count - 1, -1, -1):
            edge = (i if drop else i + 1) * size
            if not group.is_cached(Blocks(i)):
                run = 0
            elif run or edge % self.alignment == 0:
                run += 1
                if run >= wanted:
                    table = (False,) * i + (True,) * run
                    break
        else:
            table = self._aligned((True,) * run, size)
        return self._aligned(table[:-1], size) if drop else table

    def _aligned(self, table: Table, size: Tokens) -> Table:
        return table[: round_down(tokens_in(Blocks(len(table)), size), self.alignment) // size]


@dataclass(frozen=True)
class Answers:
    """Two answers to one lookup that differ: the definition's and vLLM's."""

    groups: list[SpecGroup]
    tokens: Tokens
    alignment: Tokens
    hit: Tokens
    peer: PeerLookup


def _different_answers(situation: Situation) -> Answers | None:
    """The answers to a lookup that reads the cache, if vLLM's algorithm misses the definition."""
    if not isinstance(situation.operation, Lookup) or not situation.configuration.enable_caching:
        return None
    session = _session(situation)
    request: Request = session.requests[situation.operation.request]
    if request.skip_reading_prefix_cache:
        return None
    alignment = Tokens(session.manager.config.hit_alignment)
    groups, tokens = session.manager.spec_groups(request), request.num_tokens
    hit, peer = longest_hit(groups, tokens, alignment), PeerLookup(groups, tokens, alignment)
    defined = [_table_of(group, hit) for group in peer.groups]
    same = (hit, defined) == (peer.hit, peer.shown())
    return None if same else Answers(groups, tokens, alignment, hit, peer)


def _table_of(group: SpecGroup, length: Tokens) -> Table:
    read = group.attention.blocks_read(length)
    return (False,) * read.start + (True,) * len(read)


def _answers_differ(situation: Situation) -> bool:
    return _different_answers(situation) is not None


def _state_raises(situation: Situation) -> bool:
    """The EAGLE bit of a recurrent group makes a difference to vLLM's answer [Q-1]."""
    answers = _different_answers(situation)
    if answers is None:
        return False
    unmarked = [replace(g, eagle=g.eagle and not isinstance(g.attention, MambaState)) for g in answers.groups]
    mended, peer = PeerLookup(unmarked, answers.tokens, answers.alignment), answers.peer
    return (mended.hit, mended.shown()) != (peer.hit, peer.shown())


def _second_full_exceeds(situation: Situation) -> bool:
    """VLLM's table of a full-attention spec that is not the first is longer than its hit [Q-2]."""
    answers = _different_answers(situation)
    if answers is None:
        return False
    peer = answers.peer
    return any(
        isinstance(group.attention, FullAttention)
        and tokens_in(Blocks(len(table)), group.attention.block_size) > peer.hit
        for group, table in zip(peer.groups, peer.shown(), strict=True)
    )


def _short_of_window(situation: Situation) -> bool:
    """The hit is shorter than the window of an EAGLE group finer than the alignment: vLLM loses it [Q-5]."""
    answers = _different_answers(situation)
    return answers is not None and any(
        isinstance(group.attention, SlidingWindowAttention)
        and group.eagle
        and group.attention.block_size != answers.alignment
        and full_blocks(answers.hit, group.attention.block_size) < group.attention.tail_blocks()
        for group in answers.groups
        if answers.peer.hit < answers.hit
    )


def _proof_is_stale(situation: Situation) -> bool:
    """A longer length fails for an EAGLE group's extra block alone, which vLLM proved elsewhere [Q-37]."""
    answers = _different_answers(situation)
    if answers is None or answers.peer.hit <= answers.hit:
        return False
    limit = longest_usable(answers.tokens)
    return all(serves(replace(group, eagle=False), answers.peer.hit, limit) for group in answers.groups)


class Allocation:
    """What the reference would count for an allocation, and what vLLM 0.23.0 counts."""

    def __init__(self, situation: Situation, operation: Allocate) -> None:
        session = _session(situation)
        manager = session.manager
        self.manager = manager
        self.operation = operation
        self.request: Request = session.requests[operation.request]
        self.name = RequestId(operation.request)
        found = session.found(operation.request) if operation.hit is not None else None
        self.hits = found.blocks if found else tuple(() for _ in manager.groups)
        longest = manager.config.max_model_len
        self.local = Tokens(operation.computed + (operation.hit or 0))
        self.external = Tokens(operation.external)
        self.computed = Tokens(min(self.local + self.external, longest))
        self.main = Tokens(self.computed + operation.new)
        self.slots = Tokens(min(self.main + operation.lookahead, longest))
        self.whole = Tokens(min(self.request.num_tokens, longest))

    def step(self, main: Tokens, slots: Tokens) -> capacity.Step:
        """The token layout, with this many main-model tokens and slots."""
        encoder = Tokens(self.operation.encoder)
        return capacity.Step(self.local, self.external, main, slots, encoder)

    def need(self) -> int:
        """Free blocks that the step takes."""
        step = self.step(self.main, self.slots)
        return sum(
            state.plan(self.name, hits, step).need
            for state, hits in zip(self.manager.groups, self.hits, strict=True)
        )

    def peer_need(self) -> int:
        """Free blocks that vLLM predicts for the step."""
        return self.need() - self._uncounted(self.step(self.main, self.slots))

    def counts_states_short(self) -> bool:
        """Whether vLLM counts too few blocks for recurrent states: for the step, or at the gate."""
        at_gate = self.operation.must_fit and self._uncounted(self.step(self.whole, self.whole)) > 0
        return at_gate or self._uncounted(self.step(self.main, self.slots)) > 0

    def _uncounted(self, step: capacity.Step) -> int:
        """Blocks for `step` that vLLM does not count; negative if it counts too many."""
        return sum(
            state.plan(self.name, hits, step).need - self._peer_count(state, hits, step)
            for state, hits in zip(self.manager.groups, self.hits, strict=True)
        )

    def _peer_count(self, state: GroupState, hits: Sequence[KVCacheBlock], step: capacity.Step) -> int:
        """VLLM's count for one group: its own way for aligned recurrent states [MAMBA-6]."""
        if not isinstance(state.attention, AlignedMambaState):
            return state.plan(self.name, hits, step).need
        table = state.tables.get(self.name)
        held = len(table.blocks) if table else 0
        missing = capacity.table_length(state.attention, step) - len(hits) - held
        if missing > 0:
            missing = 1 if table and table.grown else 1 + state.attention.speculative_blocks
        return missing + sum(1 for b in hits if b.ref_cnt == 0 and not b.is_null)

    def fate(self) -> tuple[bool, bool]:
        """Whether the reference grants the slots, and whether it gets as far as releasing blocks."""
        return self._fate(self.own_gate(), fits=self.need() == 0 or self.need() <= self.available())

    def peer_fate(self) -> tuple[bool, bool]:
        """The same for vLLM, by what it predicts."""
        return self._fate(self.peer_gate(), fits=self.peer_need() <= self.available())

    def _fate(self, gate: int, *, fits: bool) -> tuple[bool, bool]:
        free = int(self.manager.pool.num_free)
        passes = not self.operation.must_fit or gate <= free
        return passes and fits, passes and self.free_after_skip() > free

    def free_after_skip(self) -> int:
        """Free blocks once the blocks that are no longer read have been released [ALLOC-5]."""
        free = int(self.manager.pool.num_free)
        for state in self.manager.groups:
            table = state.tables.get(self.name)
            if table is None:
                continue
            skip = eviction.skipped_entries(state.attention, table.ids(), self.computed)
            free += sum(table.blocks[i].ref_cnt == 1 for i in (*skip.window, *skip.states))
        return free

    def available(self) -> int:
        """Free blocks that this call may take [ALLOC-7]."""
        return self.free_after_skip() - self.operation.reserved

    def peer_gate(self) -> int:
        """What vLLM's admission gate counts: its cap against table positions [NEED-1, ADMIT-3]."""
        return sum(
            self._peer_gate(state, hits) for state, hits in zip(self.manager.groups, self.hits, strict=True)
        )

    def _peer_gate(self, state: GroupState, own: Sequence[KVCacheBlock]) -> int:
        cap = capacity.most_held(
            state.attention,
            batched_tokens=Tokens(self.manager.config.batched_tokens),
            model_tokens=Tokens(self.manager.config.max_model_len),
            lookahead=Tokens(0),
        )
        if cap is None:
            return self._peer_count(state, own, self.step(self.whole, self.whole))
        attention = state.attention
        if isinstance(attention, ChunkedLocalAttention) and attention.chunk % attention.block_size:
            cap = Blocks(cap - 1)
        table = state.tables.get(self.name)
        held = len(table.blocks) if table else 0
        wanted = min(covering_blocks(self.whole, attention.block_size), cap)
        if table is not None:
            return max(wanted - held, 0)
        nulls = attention.skipped_blocks(self.computed)
        evictable = sum(1 for b in own[nulls:] if b.ref_cnt == 0 and not b.is_null)
        return max(wanted - max(nulls, len(own)), 0) + evictable

    def only_peer_admits(self) -> bool:
        """Whether vLLM's admission gate lets in what the reference's keeps out."""
        free = self.manager.pool.num_free
        return self.operation.must_fit and self.peer_gate() <= free < self.own_gate()

    def own_gate(self) -> int:
        """What the reference's admission gate counts."""
        step = self.step(self.whole, self.whole)
        return sum(
            state.admission_need(self.name, hits, step, Tokens(self.operation.lookahead))
            for state, hits in zip(self.manager.groups, self.hits, strict=True)
        )


def _allocation(situation: Situation) -> Allocation | None:
    """An allocation that vLLM decides by its count, and not by a state that is yet to be computed [MAMBA-3]."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not (operation.new or operation.external):
        return None
    allocation = Allocation(situation, operation)
    states = zip(allocation.manager.groups, allocation.hits, strict=True)
    return None if any(state.hits_uncomputed_state(hits) for state, hits in states) else allocation


def _group_takes_anothers_hit(situation: Situation) -> bool:
    """External blocks of one group come from the front of the queue, where a later group's hits lie [Q-3]."""
    allocation = _allocation(situation)
    if allocation is None or not allocation.operation.external:
        return False
    if not (allocation.fate()[0] and allocation.peer_fate()[0]):
        return False
    queue = list(allocation.manager.pool.free_queue)
    step = allocation.step(allocation.main, allocation.slots)
    bound: list[set[int]] = []
    external: list[int] = []
    for state, hits in zip(allocation.manager.groups, allocation.hits, strict=True):
        binding = state.plan(allocation.name, hits, step).binding
        if binding is None:
            return False
        bound.append({int(b.block_id) for b in hits[binding.nulls :] if not b.is_null})
        external.append(binding.external)
    for place, count in enumerate(external):
        queue = [block_id for block_id in queue if block_id not in bound[place]]
        taken, queue = set(queue[:count]), queue[count:]
        if any(taken & later for later in bound[place + 1 :]):
            return True
    return False


def _undercounted(allocation: Allocation) -> bool:
    """VLLM counts too few blocks for recurrent states, and so goes on where there are not enough."""
    return allocation.counts_states_short() and allocation.peer_fate() > allocation.fate()


def _forgets_external_state(situation: Situation) -> bool:
    """The block of an external recurrent state is one more than vLLM counts, and there is none [Q-4]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.operation.external > 0 and _undercounted(allocation)


def _negative_need(situation: Situation) -> bool:
    """A recurrent group with more blocks than the step wants makes up for another group's need [Q-28]."""
    allocation = _allocation(situation)
    if allocation is None:
        return False
    step = allocation.step(allocation.main, allocation.slots)
    surplus = any(
        len(table.blocks) > capacity.table_length(state.attention, step)
        for state in allocation.manager.groups
        if isinstance(state.attention, AlignedMambaState)
        and (table := state.tables.get(allocation.name)) is not None
    )
    return surplus and _undercounted(allocation)


def _counts_dropped_hit(situation: Situation) -> bool:
    """External tokens reach past a free hit state, which is not bound, but counted by vLLM [Q-54]."""
    allocation = _allocation(situation)
    if allocation is None or not allocation.operation.external:
        return False
    dropped = any(
        block.ref_cnt == 0 and not block.is_null
        for state, hits in zip(allocation.manager.groups, allocation.hits, strict=True)
        if isinstance(state.attention, AlignedMambaState)
        for block in hits[: state.attention.skipped_blocks(allocation.computed)]
    )
    return dropped and allocation.peer_fate() < allocation.fate()


def _needs_nothing_but_reserves(situation: Situation) -> bool:
    """The step needs no block, and more blocks are reserved than free [Q-16]."""
    allocation = _allocation(situation)
    if allocation is None or allocation.need() != 0 or allocation.available() >= 0:
        return False
    return allocation.peer_fate() < allocation.fate()


def _gate_counts_positions(situation: Situation) -> bool:
    """VLLM's gate alone lets in a request that starts behind a hit or behind external tokens [Q-17]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.computed > 0 and _peer_admits(allocation)


def _gate_ignores_lookahead(situation: Situation) -> bool:
    """VLLM's gate alone lets in a request with lookahead [Q-50]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.operation.lookahead > 0 and _peer_admits(allocation)


def _gate_cuts_chunk_short(situation: Situation) -> bool:
    """VLLM's gate alone lets in a request, whose chunks start in the middle of blocks [Q-51]."""
    allocation = _allocation(situation)
    return allocation is not None and _peer_admits(allocation)


def _peer_admits(allocation: Allocation) -> bool:
    return allocation.only_peer_admits() and allocation.peer_fate() > allocation.fate()


def _ragged_chunk(configuration: Configuration) -> bool:
    return any(isinstance(g, ChunkedGroup) and g.chunk % g.block_size for g in configuration.groups)


def _strands_states(situation: Situation) -> bool:
    """Of several kept states one is to be released that is not the last: vLLM knows only that one [Q-52]."""
    operation = situation.operation
    if isinstance(operation, RemoveSkipped):
        name, computed = operation.request, Tokens(operation.tokens)
    elif isinstance(operation, Allocate):
        allocation = Allocation(situation, operation)
        refused = operation.must_fit and allocation.own_gate() > allocation.manager.pool.num_free
        if refused or not (operation.new or operation.external):
            return False
        name, computed = operation.request, allocation.computed
    else:
        return False
    for state in _session(situation).manager.groups:
        table = state.tables.get(RequestId(name))
        if table is not None and isinstance(state.attention, AlignedMambaState):
            ids = table.ids()
            running = len(ids) - state.attention.speculative_blocks - 1
            last = max((i for i in range(running) if ids[i] != NULL_BLOCK), default=None)
            if any(i != last for i in eviction.skipped_entries(state.attention, ids, computed).states):
                return True
    return False


def _nothing(_: Situation) -> bool:
    return False


_0_23 = ("0.23.0",)

CATALOGUE: Catalogue = (
    Deviation(
        "Q-1",
        "EAGLE-1, HIT-7",
        _0_23,
        Verdict.UNSAFE,
        "a recurrent group under EAGLE raises the hit above what full attention holds",
        lambda c: any(isinstance(s, MambaGroup) for s in eagle_specs(c)),
        _state_raises,
    ),
    Deviation(
        "Q-2",
        "HIT-5, HIT-6",
        _0_23,
        Verdict.UNSAFE,
        "the hit list of a second full-attention spec is not cut to the hit",
        lambda c: c.enable_caching and sum(isinstance(s, FULL_LIKE) for s in specs(c)) > 1,
        _second_full_exceeds,
    ),
    Deviation(
        "Q-3",
        "BIND-1, INV-5",
        _0_23,
        Verdict.UNSAFE,
        "external blocks of one group are taken from a later group's hits",
        lambda c: c.enable_caching and not _lone(c),
        _group_takes_anothers_hit,
    ),
    Deviation(
        "Q-4",
        "ALLOC-7, ALLOC-8",
        _0_23,
        Verdict.UNSAFE,
        "the block of an external recurrent state is not counted: the pool runs out in the middle of a call",
        _aligned_mamba,
        _forgets_external_state,
    ),
    Deviation(
        "Q-5",
        "HIT-7, SWA-4",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a sliding window under EAGLE loses a hit that is shorter than the window",
        lambda c: not _lone(c) and any(isinstance(s, WINDOWED) for s in eagle_specs(c)),
        _short_of_window,
    ),
    Deviation(
        "Q-6",
        "SINK-1",
        _0_23,
        Verdict.SUBOPTIMAL,
        "attention sinks cannot be constructed",
        lambda c: _has(c, SinkGroup),
        _nothing,
        at_construction=True,
    ),
    Deviation(
        "Q-7",
        "CHUNK-2, HIT-7",
        _0_23,
        Verdict.UNSAFE,
        "a chunk that is not a multiple of the block size hits tokens of the current chunk",
        lambda c: c.enable_caching and _ragged_chunk(c),
        _answers_differ,
    ),
    Deviation(
        "Q-9",
        "SWA-8, HIT-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a window of one token wants a block that it does not read, and is mostly never hit",
        lambda c: c.enable_caching and any(isinstance(g, WINDOWED) and g.window == 1 for g in c.groups),
        _answers_differ,
    ),
    Deviation(
        "Q-16",
        "ALLOC-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a step that needs no block is refused while more blocks are reserved than free",
        lambda _: True,
        _needs_nothing_but_reserves,
    ),
    Deviation(
        "Q-17",
        "ADMIT-3",
        _0_23,
        Verdict.SUBOPTIMAL,
        "the admission gate subtracts table positions from a cap on held blocks",
        _capped,
        _gate_counts_positions,
    ),
    Deviation(
        "Q-23",
        "CROSS-3",
        _0_23,
        Verdict.UNSAFE,
        "cross attention with prefix caching is constructed, and raises at the first call",
        lambda c: c.enable_caching and _has(c, CrossGroup),
        _nothing,
        at_construction=True,
    ),
    Deviation(
        "Q-24",
        "CFG-4",
        _0_23,
        Verdict.SUBOPTIMAL,
        "several groups of one spec, or no group, cannot use prefix caching",
        lambda c: c.enable_caching and not _lone(c) and len(specs(c)) < 2,  # noqa: PLR2004
        _nothing,
        at_construction=True,
    ),
    Deviation(
        "Q-28",
        "MAMBA-6, ALLOC-7",
        _0_23,
        Verdict.UNSAFE,
        "a negative need of a recurrent group hides another group's need",
        lambda c: _aligned_mamba(c) and not _lone(c),
        _negative_need,
    ),
    Deviation(
        "Q-37",
        "EAGLE-2",
        _0_23,
        Verdict.COSMETIC,
        "EAGLE's extra block is proved at another length than the one that is returned",
        lambda c: len([s for s in eagle_specs(c) if not isinstance(s, MambaGroup)]) > 1,
        _proof_is_stale,
    ),
    Deviation(
        "Q-49",
        "CHUNK-1",
        _0_23,
        Verdict.UNSAFE,
        "chunked local attention with EAGLE, or finer than the alignment, raises at the first lookup",
        lambda c: (
            c.enable_caching
            and any(
                isinstance(s, ChunkedGroup)
                and (s in eagle_specs(c) or (not _lone(c) and s.block_size != c.scheduler_block_size))
                for s in specs(c)
            )
        ),
        _nothing,
        at_construction=True,
    ),
    Deviation(
        "Q-50",
        "SPEC-8",
        _0_23,
        Verdict.SUBOPTIMAL,
        "the admission cap leaves out lookahead slots",
        _capped,
        _gate_ignores_lookahead,
    ),
    Deviation(
        "Q-51",
        "SPEC-8",
        _0_23,
        Verdict.SUBOPTIMAL,
        "the admission cap is one block short for a chunk that is not a multiple of the block size",
        _ragged_chunk,
        _gate_cuts_chunk_short,
    ),
    Deviation(
        "Q-52",
        "MAMBA-2",
        _0_23,
        Verdict.SUBOPTIMAL,
        "an old recurrent state that stands apart is held until the request ends",
        _aligned_mamba,
        _strands_states,
    ),
    Deviation(
        "Q-54",
        "MAMBA-6, ALLOC-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a recurrent hit that external tokens make useless is counted as needed",
        lambda c: _aligned_mamba(c) and c.enable_caching,
        _counts_dropped_hit,
    ),
    Deviation(
        "Q-53",
        "DCP-1",
        _0_23,
        Verdict.UNSAFE,
        "context parallelism over a lone group other than full attention raises at the first lookup",
        lambda c: (
            c.enable_caching
            and _lone(c)
            and c.dcp_world_size * c.pcp_world_size > 1
            and not _has(c, *FULL_LIKE)
        ),
        _nothing,
        at_construction=True,
    ),
)
