"""The known deviations of vLLM 0.23.0, each with a recogniser.

`Q-n` ids are those of the rule index. Every entry has a minimal trace of the same name in
`traces/`, which a test replays on the real vLLM: it must still deviate there, and a near miss must
not be recognised.

A recogniser works out, from the reference's state alone, what vLLM's documented algorithm answers
(`PeerLookup`) or counts (`Allocation`), and covers only what differs from the definition: where it
says yes, vLLM must deviate. So nothing else can go wrong unseen in a configuration with a deviation.
"""

import msgspec

from kvref.operations import (
    ChunkedGroup,
    Configuration,
    CrossGroup,
    FullGroup,
    Group,
    MambaGroup,
    MLAGroup,
    SinkGroup,
    SlidingGroup,
    SlidingMLAGroup,
)
from kvref.targets.deviations import Catalogue, Deviation, Situation, Verdict
from kvref.targets.vllm import recognisers

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


def _ragged_chunk(configuration: Configuration) -> bool:
    return any(isinstance(g, ChunkedGroup) and g.chunk % g.block_size for g in configuration.groups)


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
        recognisers.state_raises,
    ),
    Deviation(
        "Q-2",
        "HIT-5, HIT-6",
        _0_23,
        Verdict.UNSAFE,
        "the hit list of a second full-attention spec is not cut to the hit",
        lambda c: c.enable_caching and sum(isinstance(s, FULL_LIKE) for s in specs(c)) > 1,
        recognisers.second_full_exceeds,
    ),
    Deviation(
        "Q-3",
        "BIND-1, INV-5",
        _0_23,
        Verdict.UNSAFE,
        "external blocks of one group are taken from a later group's hits",
        lambda c: c.enable_caching and not _lone(c),
        recognisers.group_takes_anothers_hit,
    ),
    Deviation(
        "Q-4",
        "ALLOC-7, ALLOC-8",
        _0_23,
        Verdict.UNSAFE,
        "the block of an external recurrent state is not counted: the pool runs out in the middle of a call",
        _aligned_mamba,
        recognisers.forgets_external_state,
    ),
    Deviation(
        "Q-5",
        "HIT-7, SWA-4",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a sliding window under EAGLE loses a hit that is shorter than the window",
        lambda c: not _lone(c) and any(isinstance(s, WINDOWED) for s in eagle_specs(c)),
        recognisers.short_of_window,
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
        recognisers.answers_differ,
    ),
    Deviation(
        "Q-9",
        "SWA-8, HIT-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a window of one token wants a block that it does not read, and is mostly never hit",
        lambda c: c.enable_caching and any(isinstance(g, WINDOWED) and g.window == 1 for g in c.groups),
        recognisers.answers_differ,
    ),
    Deviation(
        "Q-16",
        "ALLOC-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a step that needs no block is refused while more blocks are reserved than free",
        lambda _: True,
        recognisers.needs_nothing_but_reserves,
    ),
    Deviation(
        "Q-17",
        "ADMIT-3",
        _0_23,
        Verdict.SUBOPTIMAL,
        "the admission gate subtracts table positions from a cap on held blocks",
        _capped,
        recognisers.gate_counts_positions,
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
        recognisers.negative_need,
    ),
    Deviation(
        "Q-37",
        "EAGLE-2",
        _0_23,
        Verdict.COSMETIC,
        "EAGLE's extra block is proved at another length than the one that is returned",
        lambda c: len([s for s in eagle_specs(c) if not isinstance(s, MambaGroup)]) > 1,
        recognisers.proof_is_stale,
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
        recognisers.gate_ignores_lookahead,
    ),
    Deviation(
        "Q-51",
        "SPEC-8",
        _0_23,
        Verdict.SUBOPTIMAL,
        "the admission cap is one block short for a chunk that is not a multiple of the block size",
        _ragged_chunk,
        recognisers.gate_cuts_chunk_short,
    ),
    Deviation(
        "Q-52",
        "MAMBA-2",
        _0_23,
        Verdict.SUBOPTIMAL,
        "an old recurrent state that stands apart is held until the request ends",
        _aligned_mamba,
        recognisers.strands_states,
    ),
    Deviation(
        "Q-54",
        "MAMBA-6, ALLOC-7",
        _0_23,
        Verdict.SUBOPTIMAL,
        "a recurrent hit that external tokens make useless is counted as needed",
        lambda c: _aligned_mamba(c) and c.enable_caching,
        recognisers.counts_dropped_hit,
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
