"""What vLLM 0.23.0 would answer and count, worked out from the reference's state.

`PeerLookup` is its documented lookup, `Allocation` its documented counts. Recognisers compare them with
the definitions in `spec`: where both agree vLLM must not deviate, and where they differ it must.
"""

from collections.abc import Sequence

from kvref.blocks import KVCacheBlock
from kvref.operations import (
    Allocate,
)
from kvref.reference.groups import Group as GroupState
from kvref.request import Request
from kvref.targets.deviations import Situation
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
from spec.hits import SpecGroup, longest_usable
from spec.units import Blocks, RequestId, Tokens


def session_of(situation: Situation) -> ReferenceSession:
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


class Allocation:
    """What the reference would count for an allocation, and what vLLM 0.23.0 counts."""

    def __init__(self, situation: Situation, operation: Allocate) -> None:
        session = session_of(situation)
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
        """The observed count for one group: its own way for aligned recurrent states [MAMBA-6]."""
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
