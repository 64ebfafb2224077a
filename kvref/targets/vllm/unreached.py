"""Lines and branches of vLLM 0.23.0's core files that fuzzing does not run, each with its reason.

Most cannot be reached by a legal caller. Some could, and show nothing that is not compared anyway.
"""

from dataclasses import dataclass

RELEASE = "0.23.0"


@dataclass(frozen=True)
class Unreached:
    """Lines of one function. `legal` tells whether a legal caller could reach them."""

    file: str
    function: str
    lines: tuple[int, ...]
    reason: str
    legal: bool = False


@dataclass(frozen=True)
class Untaken:
    """A branch that is not taken though both its ends are run: from line to line of one function."""

    file: str
    function: str
    start: int
    end: int
    reason: str


POOL, MANAGER, COORDINATOR, SINGLE = (
    "block_pool.py",
    "kv_cache_manager.py",
    "kv_cache_coordinator.py",
    "single_type_kv_cache_manager.py",
)
COLLECTOR = "a metrics collector observes, and decides nothing; none is given"
ENTRIES = "an entry of the prefix map is one block, or several by id"
MAPPED = "a block with a key is in the prefix map under it"
CONNECTOR = "a helper of connectors and of the scheduler's own lists, which the manager never calls"
ABSTRACT = "abstract: every subclass has its own"
UNCACHED = "prefix caching is off with cross attention, and then another coordinator answers"
SINK = "the constructor refuses its arguments [Q-6]"

UNREACHED: tuple[Unreached, ...] = (
    Unreached(POOL, "BlockHashToBlockMap.get_one_block", (72,), ENTRIES),
    Unreached(POOL, "BlockHashToBlockMap.insert", (91,), ENTRIES),
    Unreached(POOL, "BlockHashToBlockMap.pop", (100, 111, 112), MAPPED),
    Unreached(POOL, "BlockHashToBlockMap.pop", (120, 121), ENTRIES),
    Unreached(POOL, "BlockHashToBlockMap.__len__", (124,), "nothing asks for the map's size"),
    Unreached(POOL, "BlockHashToBlockMap._unexpected_blocks_type", (127,), ENTRIES),
    Unreached(POOL, "BlockPool.cache_full_blocks", (246,), "both callers have checked that a block is new"),
    Unreached(POOL, "BlockPool.get_new_blocks", (356, 362), COLLECTOR),
    Unreached(POOL, "BlockPool._maybe_evict_cached_block", (378,), COLLECTOR),
    Unreached(POOL, "BlockPool._maybe_evict_cached_block", (388,), MAPPED),
    Unreached(POOL, "BlockPool.touch", (417,), COLLECTOR),
    Unreached(POOL, "BlockPool.reset_prefix_cache", (488,), COLLECTOR),
    Unreached(
        POOL, "BlockPool.get_usage", (515,), "no pool is drawn that has the null block alone", legal=True
    ),
    Unreached(MANAGER, "KVCacheBlocks.__add__", (50,), CONNECTOR),
    Unreached(MANAGER, "KVCacheBlocks.get_block_ids", (82, 84), "ids are read from the blocks", legal=True),
    Unreached(MANAGER, "KVCacheBlocks.get_block_ids", (83,), CONNECTOR),
    Unreached(MANAGER, "KVCacheBlocks.get_unhashed_block_ids", (88, 89), CONNECTOR),
    Unreached(MANAGER, "KVCacheBlocks.get_unhashed_block_ids_all_groups", (94,), CONNECTOR),
    Unreached(MANAGER, "KVCacheBlocks.new_empty", (107,), CONNECTOR),
    Unreached(
        MANAGER,
        "KVCacheManager.take_events",
        (530, 534, 537),
        "every stored event names a group of the manager",
    ),
    Unreached(MANAGER, "KVCacheManager.get_block_ids", (551,), "ids are read from the blocks", legal=True),
    Unreached(COORDINATOR, "KVCacheCoordinator.find_longest_cache_hit", (321,), ABSTRACT),
    Unreached(
        COORDINATOR,
        "KVCacheCoordinatorNoPrefixCache.find_longest_cache_hit",
        (373, 376),
        "with caching off nothing is looked up",
    ),
    Unreached(
        SINGLE,
        "SingleTypeKVCacheManager.allocate_new_computed_blocks",
        (208, 209),
        "hits are for admission, of a request that holds no table [PROTO-9]",
    ),
    Unreached(SINGLE, "SingleTypeKVCacheManager.get_num_common_prefix_blocks", (394,), ABSTRACT),
    Unreached(SINGLE, "SingleTypeKVCacheManager.find_longest_cache_hit", (446,), ABSTRACT),
    Unreached(
        SINGLE, "SlidingWindowManager.reachable_block_mask", (701,), "every coordinator gives an alignment"
    ),
    Unreached(SINGLE, "CrossAttentionManager.cache_blocks", (1255,), UNCACHED),
    Unreached(SINGLE, "CrossAttentionManager.get_num_common_prefix_blocks", (1260,), UNCACHED),
    Unreached(SINGLE, "CrossAttentionManager.find_longest_cache_hit", (1275, 1284), UNCACHED),
    Unreached(SINGLE, "SinkFullAttentionManager.__init__", (1297, 1305, 1306, 1307, 1308), SINK),
)

UNTAKEN: tuple[Untaken, ...] = (
    Untaken(
        COORDINATOR,
        "HybridKVCacheCoordinator.find_longest_cache_hit",
        681,
        680,
        "the search has asked every group once before the hits are cut",
    ),
)
