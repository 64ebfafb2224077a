"""The state of a vLLM manager, read from the attributes that vLLM's own tests read."""

from collections.abc import Mapping
from typing import Any

from invariants.view import View
from kvref.errors import UnpicturableError
from kvref.targets.session import picture_map, stats_of
from kvref.targets.vllm import releases


def view_of(manager: Any) -> View:
    """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]. Raises UnpicturableError."""
    try:
        return _view(manager)
    except AttributeError as differs:
        raise UnpicturableError(
            f"{releases.CAPABILITIES.release} keeps its state otherwise: {differs}"
        ) from None


def _view(manager: Any) -> View:
    pool = manager.block_pool
    groups = manager.coordinator.single_type_managers
    names = sorted({name for group in groups for name in group.req_to_blocks})
    tables = {
        name: [[b.block_id for b in group.req_to_blocks.get(name, ())] for group in groups] for name in names
    }
    held = {name: table for name, table in tables.items() if any(table)}
    ref_counts = [block.ref_cnt for block in pool.blocks]
    ref_counts[0] = 0  # the null block's counter drifts
    return View(
        ref_counts=ref_counts,
        keys=[block.block_hash for block in pool.blocks],
        free_queue=[block.block_id for block in pool.free_block_queue.get_all_free_blocks()],
        prefix_map=picture_map(
            [
                (key, list(holders) if isinstance(holders, Mapping) else [holders.block_id])
                for key, holders in pool.cached_block_hash_to_block._cache.items()  # noqa: SLF001 - the map has no other list
            ]
        ),
        tables=held,
        handled={name: [group.num_cached_block.get(name, 0) for group in groups] for name in held},
        reserved=[block.block_id for group in groups for block in getattr(group, "sink_blocks", ())],
        step_keys=sorted(key for group in groups for key in getattr(group, "cached_blocks_this_step", ())),
        usage=manager.usage,
        stats=stats_of(manager.prefix_cache_stats),
    )
