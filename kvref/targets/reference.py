"""The reference as a target."""

from collections.abc import Callable
from pathlib import Path

from invariants.view import View
from kvref.reference import KVCacheManager
from kvref.reference.groups import BlockTable
from kvref.targets.inprocess import InProcessSession, InProcessTarget, refuse_release
from kvref.targets.session import picture_map, stats_of
from spec.units import RequestId


class ReferenceSession(InProcessSession):
    """A reference manager and the requests that its caller keeps."""

    manager_class = KVCacheManager
    manager: KVCacheManager

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager = self.manager
        pool, groups = manager.pool, manager.groups
        names = sorted({str(name) for group in groups for name in group.tables})
        tables: dict[str, list[list[int]]] = {
            name: [[b.block_id for b in t.blocks] if t else [] for t in self._tables(name)] for name in names
        }
        held = {name: table for name, table in tables.items() if any(table)}
        return View(
            ref_counts=[block.ref_cnt for block in pool.blocks],
            keys=[block.block_hash for block in pool.blocks],
            free_queue=list(pool.free_queue),
            prefix_map=picture_map([(key, list(holders)) for key, holders in pool.prefix_map.items()]),
            tables=held,
            handled={name: [t.handled if t else 0 for t in self._tables(name)] for name in held},
            reserved=list(pool.reserved),
            step_keys=sorted(key for group in groups for key in group.cached_this_step),
            usage=manager.usage,
            stats=stats_of(manager.prefix_cache_stats),
        )

    def _tables(self, name: str) -> list[BlockTable | None]:
        return [group.tables.get(RequestId(name)) for group in self.manager.groups]


class ReferenceTarget(InProcessTarget):
    """The reference, in this process."""

    def __init__(self) -> None:
        super().__init__("reference", ReferenceSession)


def open_reference(release: str | None, python: Path | None, tell: Callable[[str], None]) -> ReferenceTarget:
    """The registry's entry point."""
    del tell
    refuse_release("reference", release, python)
    return ReferenceTarget()
