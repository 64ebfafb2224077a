"""The optimized manager's arithmetic beside the spec's: contracts that call both.

The two share no logic, so that each could be wrong alone. Each contract here says that they agree, and has a
wrong variant of the optimized side that must be refuted: an agreement of nothing would be noticed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast
from unittest.mock import patch

from kvref.config import ManagerConfig
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    SlidingWindowSpec,
)
from kvref.optimized import groups, tables
from kvref.optimized.groups import (
    FOREVER,
    ChunkedGroup,
    Group,
    MambaGroup,
    SlidingGroup,
    group_of,
)
from kvref.optimized.lookup import SpecGroup as Search
from kvref.optimized.pool import BlockPool
from kvref.optimized.prefix_map import PrefixMap
from kvref.optimized.retention import Retention as KeptTails
from spec import capacity
from spec.attention import (
    AlignedMambaState,
    Attention,
    ChunkedLocalAttention,
    CrossAttention,
    FullAttention,
    MambaState,
    SlidingWindowAttention,
)
from spec.hits import SpecGroup, serves
from spec.retention import Retention, cacheable_tokens, is_kept
from spec.units import Blocks, Tokens


@dataclass(frozen=True)
class _Element:
    itemsize: int = 2


@dataclass(frozen=True)
class _Setting:
    """What a group asks of a configuration. A real one is checked with gcd and lcm, which have no symbolic form."""

    specs: tuple[KVCacheSpec, ...]
    scheduler_block_size: int
    eagle_groups: tuple[int, ...] = ()
    has_lone_group: bool = False
    retention_interval: int | None = None
    context_parallel_size: int = 1
    hash_block_size: int = 1
    enable_caching: bool = True


def _spec_of(attention: Attention) -> KVCacheSpec:
    size, dtype = attention.block_size, _Element()
    match attention:
        case SlidingWindowAttention(window=window):
            return SlidingWindowSpec(size, num_kv_heads=1, head_size=1, dtype=dtype, sliding_window=window)
        case ChunkedLocalAttention(chunk=chunk):
            return ChunkedLocalAttentionSpec(
                size, num_kv_heads=1, head_size=1, dtype=dtype, attention_chunk_size=chunk
            )
        case MambaState(speculative_blocks=drafts):
            mode: Literal["align", "none"] = "align" if isinstance(attention, AlignedMambaState) else "none"
            return MambaSpec(
                size,
                ((1,),),
                (dtype,),
                mamba_cache_mode=mode,
                num_speculative_blocks=drafts,
            )
        case CrossAttention():
            return CrossAttentionSpec(size, num_kv_heads=1, head_size=1, dtype=dtype)
        case _:
            return FullAttentionSpec(size, num_kv_heads=1, head_size=1, dtype=dtype)


def _group(attention: Attention, alignment: int = 1, *, eagle: bool = False, lone: bool = False) -> Group:
    spec = _spec_of(attention)
    setting = _Setting((spec,), alignment, (0,) if eagle else (), has_lone_group=lone)
    # It puts the window into a set, which asks for one number; only events tell it.
    with patch.object(groups, "window_of", lambda _: None):
        return group_of(0, cast("ManagerConfig", setting))


# What is read


def skipped_tokens_agree(attention: Attention, computed: Tokens) -> bool:
    """The tokens that no later step reads are the same [MGR-2].

    pre: computed >= 0
    post: __return__
    """
    return _group(attention).skipped_tokens(computed) == attention.skipped_tokens(computed)


def released_entries_agree(attention: Attention, computed: Tokens) -> bool:
    """As many leading entries are released, drafts that may still be rejected left out [SKIP-1, MAMBA-2].

    pre: computed >= 0
    post: __return__
    """
    settled = attention.settled_tokens(computed) if isinstance(attention, MambaState) else computed
    return _group(attention).released_entries(computed) == attention.skipped_blocks(settled)


def releases_are_due_in_time(attention: Attention, released: Blocks, computed: Tokens) -> bool:
    """The next release is foretold for exactly the first length at which more is to be released [SKIP-1].

    pre: released >= 0 and computed >= 0
    pre: not isinstance(attention, ChunkedLocalAttention) or (attention.block_size, attention.chunk) in ((2, 4), (2, 3))
    post: __return__
    """
    settled = attention.settled_tokens(computed) if isinstance(attention, MambaState) else computed
    due = _group(attention).next_release(released)
    return due == FOREVER or (computed >= due) == (attention.skipped_blocks(settled) > released)


# What is held


def table_lengths_agree(attention: Attention, step: capacity.Step) -> bool:
    """A table needs as many entries for a step's slots [NEED-1, GET-1, MAMBA-5, MAMBA-6, CROSS-1].

    post: __return__
    """
    length = _group(attention).table_length(step.slots, step.main, step.encoder)
    return length == capacity.table_length(attention, step)


def growth_is_due_in_time(attention: Attention, held: Blocks, step: capacity.Step) -> bool:
    """A table is told to cover exactly the slots for which it does not grow [GET-1].

    pre: step.main == step.slots and held >= getattr(attention, "speculative_blocks", 0)
    post: __return__
    """
    if isinstance(attention, CrossAttention):
        return True
    grows = capacity.table_length(attention, step) > held
    return grows == (step.slots > _group(attention).covered(held))


def growth_needs_agree(attention: Attention, held: Blocks, step: capacity.Step, grown_before: bool) -> bool:
    """Growth takes as many blocks from the pool, moved and null entries left out [GET-1, MAMBA-7].

    pre: held >= 0
    pre: not grown_before or held >= getattr(attention, "speculative_blocks", 0)
    post: __return__
    """
    target = capacity.table_length(attention, step)
    need = tables.growth_need(_group(attention), held, target, is_new=not grown_before)
    return need == capacity.growth(attention, held, step, grown_before=grown_before).taken


class _Stretches:
    def hits(self, _: list[int]) -> list[object]:
        return []


class _Pool:
    stretches = _Stretches()


def starts_agree(attention: Attention, hits: Blocks, step: capacity.Step) -> bool:
    """A new table begins with as many nulls and external blocks, and is as long [BIND-3, BIND-6, BIND-8].

    pre: 0 <= hits <= 2 and 2 * hits <= step.local and step.slots == step.main == step.encoder == 0
    pre: attention.block_size == 2 and getattr(attention, "window", 2) == 2 and getattr(attention, "chunk", 4) == 4
    pre: getattr(attention, "speculative_blocks", 0) == getattr(attention, "sink_tokens", 0) == 0
    post: __return__
    """
    pool = cast("BlockPool", _Pool())
    start = tables.start_of(pool, _group(attention), [1] * hits, step.computed, step.external)
    wanted = capacity.binding(attention, hits, step)
    if isinstance(attention, CrossAttention):
        # Nothing is bound; caching is off, so nothing is hit.
        return hits > 0 or start.length == wanted.length == 0
    return (start.nulls, start.external, start.length) == (wanted.nulls, wanted.external, wanted.length)


def admission_caps_agree(attention: Attention, batched: Tokens, ahead: Tokens, model: Tokens) -> bool:
    """A request is taken to hold as many blocks at most [SPEC-8, ADMIT-1, Q-50, Q-51].

    pre: batched >= 0 and ahead >= 0 and model >= 0
    post: __return__
    """
    cap = capacity.most_held(attention, batched_tokens=batched, model_tokens=model, lookahead=ahead)
    return _group(attention).most_held(batched, ahead, model) == (FOREVER if cap is None else cap)


# What is cached


def cacheable_blocks_agree(size: Tokens, wide: bool, tokens: Tokens, eagle: bool, lone: bool) -> bool:
    """As many blocks may be cached, aligned, and one more under EAGLE [COORD-4, COORD-5, EAGLE-3].

    A lone group is aligned to its own blocks; else alignments of one and of three blocks are looked at.

    pre: size > 0 and tokens >= 0
    pre: not (lone and eagle)
    post: __return__
    """
    attention, alignment = FullAttention(size), Tokens(3 * size if wide else size)
    group = _group(attention, alignment, eagle=eagle, lone=lone)
    wanted = cacheable_tokens(attention, alignment, eagle=eagle, lone_group=lone, tokens=tokens)
    return group.cacheable_blocks(tokens) == wanted // size


def caching_is_due_in_time(size: Tokens, handled: Blocks, tokens: Tokens, eagle: bool) -> bool:
    """The next caching is foretold for exactly the first length of which more may be cached [COORD-5, EAGLE-3].

    pre: size in (1, 2) and tokens >= 0 and handled >= 0
    post: __return__
    """
    attention, alignment = FullAttention(size), Tokens(3 * size)
    due = _group(attention, alignment, eagle=eagle).next_cached(handled)
    more = cacheable_tokens(attention, alignment, eagle=eagle, lone_group=False, tokens=tokens)
    return (tokens >= due) == (more // size > handled)


def retention_masks_agree(
    window: Tokens, interval: Tokens, dense: bool, start: Blocks, prompt: Tokens, eagle: bool
) -> bool:
    """Of four blocks in a row the same are kept, wherever they begin [SWA-7, SWA-8, SWA-9, RETAIN-3].

    pre: 1 <= window <= 3 and interval in (0, 4) and 0 <= start <= 2 and prompt in (1, 5)
    post: __return__
    """
    tails = KeptTails(1, window, alignment=2, interval=None if dense else interval, eagle=eagle)
    attention = SlidingWindowAttention(Tokens(1), window)
    retention = Retention(Tokens(2), None if dense else interval)
    kept = range(start, start + 4) if tails.keeps_all else tails.kept(start, start + 4, prompt)
    wanted = [
        block
        for block in range(start, start + 4)
        if is_kept(attention, retention, eagle=eagle, block=Blocks(block), prompt_tokens=prompt)
    ]
    return list(kept) == wanted


# What is hit


PAIR = Tokens(2)
KINDS = (
    FullAttention(PAIR),
    *(SlidingWindowAttention(PAIR, Tokens(window)) for window in (1, 3, 4)),
    *(ChunkedLocalAttention(PAIR, Tokens(chunk)) for chunk in (2, 4)),
    MambaState(PAIR),
)
"""What a hit reads of three blocks: all, none, the last, the last two; none of a chunk, or its first; a state."""
SEARCHES = tuple((_group(attention, 2), _group(attention, 2, eagle=True)) for attention in KINDS)
"""Without EAGLE and with it. They are made here, for CrossHair is slow at that."""


def longest_hits_agree(kind: int, odd: bool, eagle: bool, one: bool, two: bool, three: bool) -> bool:
    """The search of one spec group ends at the longest length that is served, EAGLE's block shifted [HIT-7, EAGLE-1].

    pre: 0 <= kind < 7
    post: __return__
    """
    attention, most = KINDS[kind], 5 if odd else 6
    cached = (one, two, three)
    names = [b"0", b"1", b"2"]
    held = PrefixMap(1)
    for index, is_cached in enumerate(cached):
        if is_cached:
            held.oldest[names[index]] = index + 1
    search = Search(SEARCHES[kind][1 if eagle else 0], [held], 2)
    found = search.longest(names, 4 if odd else 6, most)
    group = SpecGroup(attention, eagle, lambda block: block < len(cached) and cached[block])
    return found == next(n for n in (6, 4, 2, 0) if n <= most and serves(group, Tokens(n), Tokens(most)))


@dataclass(frozen=True)
class Equivalence:
    """A contract, and a wrong way to do what `holder` calls `name`."""

    holds: Callable[..., bool]
    holder: object
    name: str
    wrong: Callable[..., object]
    why_wrong: str


EQUIVALENCES = (
    Equivalence(
        skipped_tokens_agree,
        SlidingGroup,
        "skipped_tokens",
        lambda self, computed: max(0, computed - self._past - 1),
        "a window of one token more",
    ),
    Equivalence(
        released_entries_agree,
        MambaGroup,
        "released_entries",
        lambda self, computed: self.first_read(computed),
        "without leaving out the drafts",
    ),
    Equivalence(
        releases_are_due_in_time,
        ChunkedGroup,
        "next_release",
        lambda self, released: (released + 1) * self.block_size,
        "when the block ends, not the chunk",
    ),
    Equivalence(
        table_lengths_agree,
        Group,
        "table_length",
        lambda self, slots, main, encoder: slots // self.block_size + 1,
        "one more for whole blocks",
    ),
    Equivalence(
        growth_is_due_in_time,
        MambaGroup,
        "covered",
        lambda self, length: length * self.block_size,
        "the drafts' entries cover tokens, too",
    ),
    Equivalence(
        growth_needs_agree,
        tables,
        "growth_need",
        lambda group, length, target, *, is_new: max(0, target - length),
        "moved entries are taken anew",
    ),
    Equivalence(
        starts_agree,
        Group,
        "first_read",
        lambda self, computed: self.skipped_tokens(computed + 1) // self.block_size,
        "one token too far",
    ),
    Equivalence(
        admission_caps_agree,
        SlidingGroup,
        "most_held",
        lambda self, batched, lookahead, model: -(-min(self._past + batched, model) // self.block_size) + 1,
        "without the lookahead: Q-50",
    ),
    Equivalence(
        cacheable_blocks_agree,
        Group,
        "cacheable_blocks",
        lambda self, tokens: (tokens - tokens % self._alignment) // self.block_size,
        "without EAGLE's block",
    ),
    Equivalence(
        caching_is_due_in_time,
        Group,
        "next_cached",
        lambda self, handled: -(-(handled + 1) * self.block_size // self._alignment) * self._alignment,
        "without EAGLE's block",
    ),
    Equivalence(
        retention_masks_agree,
        KeptTails,
        "kept",
        lambda self, start, end, prompt: list(range(start, end)),
        "nothing is thinned out",
    ),
    Equivalence(
        longest_hits_agree, Search, "_last_state", lambda self, names, length: length, "any state is there"
    ),
)
