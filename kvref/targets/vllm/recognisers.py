"""When a situation shows a deviation of vLLM 0.23.0: predicates over state and operation, never outcome.

Each works out what vLLM's documented algorithm answers or counts, and covers only what differs from the
definition. So nothing else can go wrong unseen in a configuration that has a deviation.
"""

from dataclasses import dataclass, replace

from kvref.operations import (
    Allocate,
    Lookup,
    RemoveSkipped,
)
from kvref.request import Request
from kvref.targets.deviations import Situation
from kvref.targets.vllm.peer import Allocation, PeerLookup, Table, session_of
from spec import capacity, eviction
from spec.arithmetic import full_blocks, tokens_in
from spec.attention import (
    AlignedMambaState,
    FullAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.hits import SpecGroup, longest_hit, longest_usable, serves
from spec.units import NULL_BLOCK, Blocks, RequestId, Tokens


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
    session = session_of(situation)
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


def answers_differ(situation: Situation) -> bool:
    """The observed lookup misses the definition, for whatever cause [HIT-7]."""
    return _different_answers(situation) is not None


def state_raises(situation: Situation) -> bool:
    """The EAGLE bit of a recurrent group makes a difference to vLLM's answer [Q-1]."""
    answers = _different_answers(situation)
    if answers is None:
        return False
    unmarked = [replace(g, eagle=g.eagle and not isinstance(g.attention, MambaState)) for g in answers.groups]
    mended, peer = PeerLookup(unmarked, answers.tokens, answers.alignment), answers.peer
    return (mended.hit, mended.shown()) != (peer.hit, peer.shown())


def second_full_exceeds(situation: Situation) -> bool:
    """The observed table of a full-attention spec that is not the first is longer than the hit [Q-2]."""
    answers = _different_answers(situation)
    if answers is None:
        return False
    peer = answers.peer
    return any(
        isinstance(group.attention, FullAttention)
        and tokens_in(Blocks(len(table)), group.attention.block_size) > peer.hit
        for group, table in zip(peer.groups, peer.shown(), strict=True)
    )


def short_of_window(situation: Situation) -> bool:
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


def proof_is_stale(situation: Situation) -> bool:
    """A longer length fails for an EAGLE group's extra block alone, which vLLM proved elsewhere [Q-37]."""
    answers = _different_answers(situation)
    if answers is None or answers.peer.hit <= answers.hit:
        return False
    limit = longest_usable(answers.tokens)
    return all(serves(replace(group, eagle=False), answers.peer.hit, limit) for group in answers.groups)


def _allocation(situation: Situation) -> Allocation | None:
    """An allocation that vLLM decides by its count, and not by a state that is yet to be computed [MAMBA-3]."""
    operation = situation.operation
    if not isinstance(operation, Allocate) or not (operation.new or operation.external):
        return None
    allocation = Allocation(situation, operation)
    states = zip(allocation.manager.groups, allocation.hits, strict=True)
    return None if any(state.hits_uncomputed_state(hits) for state, hits in states) else allocation


def group_takes_anothers_hit(situation: Situation) -> bool:
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
    """Too few blocks are counted for recurrent states, so the call goes on where there are not enough."""
    return allocation.counts_states_short() and allocation.peer_fate() > allocation.fate()


def forgets_external_state(situation: Situation) -> bool:
    """The block of an external recurrent state is one more than vLLM counts, and there is none [Q-4]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.operation.external > 0 and _undercounted(allocation)


def negative_need(situation: Situation) -> bool:
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


def counts_dropped_hit(situation: Situation) -> bool:
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


def needs_nothing_but_reserves(situation: Situation) -> bool:
    """The step needs no block, and more blocks are reserved than free [Q-16]."""
    allocation = _allocation(situation)
    if allocation is None or allocation.need() != 0 or allocation.available() >= 0:
        return False
    return allocation.peer_fate() < allocation.fate()


def gate_counts_positions(situation: Situation) -> bool:
    """Only the observed gate lets in a request that starts behind a hit or behind external tokens [Q-17]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.computed > 0 and _peer_admits(allocation)


def gate_ignores_lookahead(situation: Situation) -> bool:
    """Only the observed gate lets in a request with lookahead [Q-50]."""
    allocation = _allocation(situation)
    return allocation is not None and allocation.operation.lookahead > 0 and _peer_admits(allocation)


def gate_cuts_chunk_short(situation: Situation) -> bool:
    """Only the observed gate lets in a request, whose chunks start in the middle of blocks [Q-51]."""
    allocation = _allocation(situation)
    return allocation is not None and _peer_admits(allocation)


def _peer_admits(allocation: Allocation) -> bool:
    return allocation.only_peer_admits() and allocation.peer_fate() > allocation.fate()


def strands_states(situation: Situation) -> bool:
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
    for state in session_of(situation).manager.groups:
        table = state.tables.get(RequestId(name))
        if table is not None and isinstance(state.attention, AlignedMambaState):
            ids = table.ids()
            running = len(ids) - state.attention.speculative_blocks - 1
            last = max((i for i in range(running) if ids[i] != NULL_BLOCK), default=None)
            if any(i != last for i in eviction.skipped_entries(state.attention, ids, computed).states):
                return True
    return False
