"""The known deviations of vLLM 0.23.0, each with a recogniser.

`Q-n` ids are those of the rule index. Every entry has a minimal trace of the same name in
`traces/`, which a test replays on the real vLLM: it must still deviate there, and a near miss must
not be recognised.
"""

from collections.abc import Sequence
from dataclasses import replace

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
from spec.arithmetic import covering_blocks, full_blocks
from spec.attention import (
    AlignedMambaState,
    ChunkedLocalAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.hits import candidate_lengths, longest_hit, longest_usable, serves
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


def _looked_up(situation: Situation) -> Request | None:
    """The request of a lookup that reads the cache."""
    if not isinstance(situation.operation, Lookup) or not situation.configuration.enable_caching:
        return None
    request: Request = _session(situation).requests[situation.operation.request]
    return None if request.skip_reading_prefix_cache else request


def _hit(situation: Situation, request: Request) -> Tokens:
    manager = _session(situation).manager
    alignment = Tokens(manager.config.hit_alignment)
    return longest_hit(manager.spec_groups(request), request.num_tokens, alignment)


def _is_cached(situation: Situation, state: GroupState, request: Request, index: int) -> bool:
    peers = [g for g in _session(situation).manager.groups if g.spec == state.spec]
    return all(peer.find(request, index) is not None for peer in peers)


def _lookup_exceeds_state(situation: Situation) -> bool:
    """A recurrent state is cached behind the longest hit, at an aligned length [Q-1]."""
    request = _looked_up(situation)
    if request is None:
        return False
    hit, alignment = _hit(situation, request), _session(situation).manager.config.hit_alignment
    return any(
        _is_cached(situation, state, request, length // state.attention.block_size - 1)
        for state in _session(situation).manager.groups
        if isinstance(state.attention, MambaState) and state.eagle
        for length in range(hit + alignment, request.num_tokens + state.attention.block_size, alignment)
    )


def _second_full_exceeds(situation: Situation) -> bool:
    """A full-attention spec that is not the first holds more of the prefix than the hit [Q-2]."""
    request = _looked_up(situation)
    if request is None:
        return False
    hit = _hit(situation, request)
    full = [s for s in specs(situation.configuration) if isinstance(s, FULL_LIKE)]
    return any(
        _is_cached(situation, state, request, full_blocks(hit, state.attention.block_size))
        for state, group in zip(
            _session(situation).manager.groups, situation.configuration.groups, strict=True
        )
        if _unmarked(group) in full[1:]
    )


def _short_of_window(situation: Situation) -> bool:
    """The hit is shorter than the window of an EAGLE group that is finer than the alignment [Q-5]."""
    request = _looked_up(situation)
    if request is None:
        return False
    hit = _hit(situation, request)
    alignment = _session(situation).manager.config.hit_alignment
    return hit > 0 and any(
        isinstance(state.attention, SlidingWindowAttention)
        and state.eagle
        and state.attention.block_size != alignment
        and full_blocks(hit, state.attention.block_size) < state.attention.tail_blocks()
        for state in _session(situation).manager.groups
    )


def _chunk_starts_in_block(situation: Situation) -> bool:
    """The current chunk starts in the middle of a block that is not cached [Q-7]."""
    request = _looked_up(situation)
    if request is None:
        return False
    hit = _hit(situation, request)
    for state in _session(situation).manager.groups:
        attention = state.attention
        if not isinstance(attention, ChunkedLocalAttention) or attention.chunk % attention.block_size == 0:
            continue
        for limit in range(hit, longest_usable(request.num_tokens) + 1):
            start = attention.skipped_tokens(Tokens(limit))
            if start % attention.block_size and start > hit:
                return True
    return False


def _window_of_one_hits(situation: Situation) -> bool:
    """A group whose window is one token serves a length that nothing has to be cached for [Q-9]."""
    request = _looked_up(situation)
    return request is not None and _hit(situation, request) > 0


def _only_eagle_forbids(situation: Situation) -> bool:
    """A longer length fails for one EAGLE group's extra block, and another EAGLE group has its own [Q-37]."""
    request = _looked_up(situation)
    if request is None:
        return False
    manager = _session(situation).manager
    hit, limit = _hit(situation, request), longest_usable(request.num_tokens)
    groups = manager.spec_groups(request)
    plain = [replace(group, eagle=False) for group in groups]
    eagle = [group for group in groups if group.eagle]
    return any(
        length > hit
        and all(serves(group, length, limit) for group in plain)
        and any(serves(group, length, limit) for group in eagle)
        for length in candidate_lengths(request.num_tokens, Tokens(manager.config.hit_alignment))
    )


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
        step = self.step(self.main, self.slots)
        return sum(
            self._peer_count(state, hits, step)
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

    def fates_differ(self) -> bool:
        """Whether what is available lies between the two counts."""
        available = self.available()
        own = self.need()
        return (own == 0 or own <= available) != (self.peer_need() <= available)

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

    def gates_differ(self) -> bool:
        """Whether what is free lies between the two counts of the admission gate."""
        free = self.manager.pool.num_free
        return (self.own_gate() <= free) != (self.peer_gate() <= free)

    def own_gate(self) -> int:
        """What the reference's admission gate counts."""
        step = self.step(self.whole, self.whole)
        return sum(
            state.admission_need(self.name, hits, step, Tokens(self.operation.lookahead))
            for state, hits in zip(self.manager.groups, self.hits, strict=True)
        )


def _allocation(situation: Situation) -> Allocation | None:
    if not isinstance(situation.operation, Allocate):
        return None
    return Allocation(situation, situation.operation)


def _group_takes_anothers_hit(situation: Situation) -> bool:
    """External blocks of one group come from the front of the queue, where a later group's hits lie [Q-3]."""
    allocation = _allocation(situation)
    if allocation is None or not allocation.operation.external:
        return False
    queue = list(allocation.manager.pool.free_queue)
    step = allocation.step(allocation.main, allocation.slots)
    for state, hits in zip(allocation.manager.groups, allocation.hits, strict=True):
        plan = state.plan(allocation.name, hits, step)
        if plan.binding is None:
            return False
        own = {b.block_id for b in hits[plan.binding.nulls :]}
        queue = [block_id for block_id in queue if block_id not in own]
        taken, queue = set(queue[: plan.binding.external]), queue[plan.binding.external :]
        later = allocation.hits[state.group_id + 1 :]
        if taken & {b.block_id for group in later for b in group}:
            return True
    return False


def _counts_differ(allocation: Allocation) -> bool:
    gated = allocation.operation.must_fit
    return allocation.fates_differ() or (gated and allocation.gates_differ())


def _forgets_external_state(situation: Situation) -> bool:
    """The block of an external recurrent state is one more than vLLM counts, and there is none [Q-4]."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not operation.external:
        return False
    if not (operation.new or operation.must_fit):
        return False
    return _counts_differ(Allocation(situation, operation))


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
    return surplus and _counts_differ(allocation)


def _counts_dropped_hit(situation: Situation) -> bool:
    """External tokens reach past a free hit state, which is not bound, but counted by vLLM [Q-54]."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not operation.external:
        return False
    allocation = Allocation(situation, operation)
    dropped = any(
        block.ref_cnt == 0 and not block.is_null
        for state, hits in zip(allocation.manager.groups, allocation.hits, strict=True)
        if isinstance(state.attention, AlignedMambaState)
        for block in hits[: state.attention.skipped_blocks(allocation.computed)]
    )
    return dropped and _counts_differ(allocation)


def _needs_nothing_but_reserves(situation: Situation) -> bool:
    """The step needs no block, and more blocks are reserved than free [Q-16]."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not operation.reserved:
        return False
    allocation = Allocation(situation, operation)
    return allocation.available() < 0 and allocation.need() == 0


def _gates_differ(situation: Situation) -> bool:
    """The two counts of the admission gate lie on either side of what is free."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not operation.must_fit:
        return False
    return Allocation(situation, operation).gates_differ()


def _gate_counts_positions(situation: Situation) -> bool:
    """... and a capped group starts behind a hit or behind external tokens [Q-17]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.computed > 0 and _gates_differ(situation)


def _gate_ignores_lookahead(situation: Situation) -> bool:
    """... and the step has lookahead [Q-50]."""
    operation = situation.operation
    return isinstance(operation, Allocate) and operation.lookahead > 0 and _gates_differ(situation)


def _ragged_chunk(configuration: Configuration) -> bool:
    return any(isinstance(g, ChunkedGroup) and g.chunk % g.block_size for g in configuration.groups)


def _strands_states(situation: Situation) -> bool:
    """Of several kept states one is to be released that is not the last: vLLM knows only that one [Q-52]."""
    operation = situation.operation
    if isinstance(operation, RemoveSkipped):
        name, computed = operation.request, Tokens(operation.tokens)
    elif isinstance(operation, Allocate):
        name, computed = operation.request, Allocation(situation, operation).computed
    else:
        return False
    for state in _session(situation).manager.groups:
        table = state.tables.get(RequestId(name))
        if table is not None and isinstance(state.attention, AlignedMambaState):
            ids = table.ids()
            skip = eviction.skipped_entries(state.attention, ids, computed)
            running = len(ids) - state.attention.speculative_blocks - 1
            kept = [i for i in range(running) if ids[i] != NULL_BLOCK]
            if skip.states and len(kept) > 1:
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
        _lookup_exceeds_state,
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
        _chunk_starts_in_block,
    ),
    Deviation(
        "Q-9",
        "SWA-8, HIT-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a window of one token is never hit",
        lambda c: c.enable_caching and any(isinstance(g, WINDOWED) and g.window == 1 for g in c.groups),
        _window_of_one_hits,
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
        _only_eagle_forbids,
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
        _gates_differ,
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
