"""The reference as a target."""

from collections.abc import Callable
from pathlib import Path

from kvref.operations import Configuration
from kvref.reference import KVCacheManager
from kvref.targets.inprocess import InProcessSession, InProcessTarget, Latest, State, refuse_release
from kvref.targets.session import picture_map, stats_of
from spec.units import RequestId


class ReferenceSession(InProcessSession):
    """A reference manager and the requests that its caller keeps."""

    manager_class = KVCacheManager
    manager: KVCacheManager

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self._prefix_map = Latest(picture_map)

    def state(self) -> State:
        """Copies of all that is shown of the manager [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager = self.manager
        pool, groups = manager.pool, manager.groups
        tables: dict[str, list[list[int]]] = {}
        handled: dict[str, list[int]] = {}
        for name in sorted(set[RequestId]().union(*[group.tables for group in groups])):
            own = [group.tables.get(name) for group in groups]
            rows: list[list[int]] = [[b.block_id for b in table.blocks] if table else [] for table in own]
            if any(rows):
                tables[name] = rows
                handled[name] = [table.handled if table else 0 for table in own]
        return (
            [block.ref_cnt for block in pool.blocks],
            [block.block_hash for block in pool.blocks],
            [*pool.free_queue],
            self._prefix_map([(key, [*holders]) for key, holders in pool.prefix_map.items()]),
            tables,
            handled,
            [*pool.reserved],
            sorted([key for group in groups for key in group.cached_this_step]),
            manager.usage,
            stats_of(manager.prefix_cache_stats),
        )


class ReferenceTarget(InProcessTarget):
    """The reference, in this process."""

    def __init__(self) -> None:
        super().__init__("reference", ReferenceSession)


def open_reference(release: str | None, python: Path | None, tell: Callable[[str], None]) -> ReferenceTarget:
    """The registry's entry point."""
    del tell
    refuse_release("reference", release, python)
    return ReferenceTarget()
