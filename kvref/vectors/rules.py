"""Which rules of `spec/RULES.md` a vector is about, by the cell that it was chosen for."""

from kvref.vectors.choose import MISTAKES, OPERATIONS, REFUSED, Cell

_BY_FEATURE = {
    "full": ("FULL-1", "FULL-2"),
    "mla": ("FULL-1", "FULL-2"),
    "sink": ("SINK-1", "SINK-2", "FULL-1"),
    "sliding": ("SWA-1", "SWA-2", "SWA-3", "SWA-5", "SKIP-1", "FREE-2"),
    "sliding_mla": ("SWA-1", "SWA-2", "SWA-3", "SWA-5", "SKIP-1", "FREE-2"),
    "chunked": ("CHUNK-2", "CHUNK-4", "SKIP-1"),
    "mamba none": ("MAMBA-1", "MAMBA-2", "MAMBA-5"),
    "mamba all": ("MAMBA-1", "MAMBA-2", "MAMBA-3", "MAMBA-4", "MAMBA-9"),
    "mamba align": ("MAMBA-1", "MAMBA-2", "MAMBA-3", "MAMBA-6", "MAMBA-7"),
    "cross": ("CROSS-1", "CROSS-2", "NEED-3"),
    "one group": ("HIT-1", "COORD-4"),
    "several groups": ("HIT-2", "HIT-5", "HIT-7", "COORD-1", "COORD-5", "FREE-3", "BIND-1"),
    "several block sizes": ("HASH-10", "HIT-7", "CFG-9"),
    "EAGLE": ("EAGLE-1", "EAGLE-2", "EAGLE-3", "CFG-5", "CFG-6"),
    "retention 0": ("RETAIN-3", "RETAIN-5", "SWA-7"),
    "retention k": ("RETAIN-3", "RETAIN-5", "SWA-7"),
    "context parallel": ("DCP-1",),
    "speculative blocks": ("MAMBA-5", "MAMBA-7"),
    "caching off": ("CFG-2", "COORD-3"),
    "events off": ("EVENT-1",),
    "preempted": ("PROTO-6", "STATS-1"),
    "streaming": ("REQ-7",),
    "salt": ("HASH-4", "HASH-7"),
    "LoRA": ("HASH-4",),
    "multimodal": ("HASH-4", "HASH-5", "HASH-6"),
    "embeddings": ("HASH-4", "REQ-4"),
    "skips reading": ("REQ-5", "HIT-8"),
    "external": ("BIND-1", "BIND-8", "ALLOC-2"),
    "async load": ("ALLOC-11", "PROTO-3"),
    "lookahead": ("ALLOC-4", "ALLOC-12"),
    "admission gate": ("ALLOC-3", "ADMIT-1", "ADMIT-3"),
    "reserved blocks": ("ALLOC-7",),
    OPERATIONS: (),
    MISTAKES: ("OBS-1",),
    REFUSED: ("CFG-3",),
}
_BY_EVENT = {
    "hit": ("HIT-7", "HIT-8", "POOL-6"),
    "eviction": ("QUEUE-3", "POOL-4", "POOL-5", "EVENT-4", "EVENT-7"),
    "refusal": ("ALLOC-5", "ALLOC-6", "ALLOC-7", "INV-10"),
}
_BY_OPERATION = {
    "NewRequest": ("REQ-3",),
    "AppendTokens": ("REQ-3", "PROTO-5"),
    "ContinueRequest": ("REQ-7",),
    "Lookup": ("HIT-8", "HIT-9"),
    "Allocate": ("ALLOC-10", "ALLOC-12", "ALLOC-13"),
    "Free": ("FREE-1", "FREE-4", "FREE-5"),
    "CacheBlocks": ("CACHE-1", "CACHE-4"),
    "RemoveSkipped": ("SKIP-1", "SKIP-2", "SKIP-3"),
    "Evict": ("POOL-8", "EVENT-4"),
    "Reset": ("RESET-1", "RESET-2", "EVENT-5"),
    "NewStep": ("MAMBA-4", "PROTO-1"),
    "StepEnds": ("PROTO-12",),
    "TakeEvents": ("EVENT-1",),
    "TakeNewBlockIds": ("IDS-1", "MGR-3"),
    "TakeStats": ("STATS-2",),
    "CommonPrefix": ("COMMON-1", "COMMON-3"),
    "GetBlocks": ("ALLOC-17", "COORD-2"),
    "NothingToAllocateError": ("ALLOC-1", "ERR-8"),
    "ForeignHitError": ("ALLOC-15",),
    "UnhashedTokensError": ("CACHE-2",),
    "UnknownBlockError": ("POOL-8", "ERR-7"),
    "BlockStored": ("EVENT-3",),
    "BlockRemoved": ("EVENT-4",),
    "AllBlocksCleared": ("EVENT-5",),
}


def rules_of(cell: Cell) -> tuple[str, ...]:
    """The ids of the rules that the cell is about."""
    feature, what = cell
    named = [rule for word in what.replace(":", "").split() for rule in _BY_OPERATION.get(word, ())]
    return tuple(dict.fromkeys((*_BY_FEATURE[feature], *_BY_EVENT.get(what, ()), *named)))
