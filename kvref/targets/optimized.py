"""The optimized manager as a target, and its compiled form, pictured from arrays of integers."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from invariants.view import View
from kvref.errors import UserError
from kvref.optimized import KVCacheManager
from kvref.optimized.pool import group_key
from kvref.targets.inprocess import InProcessSession, InProcessTarget, refuse_release
from kvref.targets.session import picture_map, stats_of


class OptimizedSession(InProcessSession):
    """An optimized manager and the requests that its caller keeps."""

    manager_class = KVCacheManager
    manager: KVCacheManager

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager, pool = self.manager, self.manager.pool
        blocks = range(pool.num_blocks)
        held = {name: tables for name, tables in sorted(manager.tables.items()) if any(tables.rows)}
        entries: dict[bytes, list[int]] = {}
        for group, one in enumerate(pool.maps):
            for name in one.oldest:
                holders = one.holders(name)
                key = pool.key(holders[0])
                assert key is not None  # noqa: S101 - the map names cached blocks
                assert pool.group(holders[0]) == group  # noqa: S101
                entries[key] = holders
        return View(
            ref_counts=[pool.users(block) for block in blocks],
            keys=[pool.key(block) for block in blocks],
            free_queue=pool.queue.ids(),
            prefix_map=picture_map(list(entries.items())),
            tables={name: [list(row) for row in tables.rows] for name, tables in held.items()},
            handled={name: list(tables.handled) for name, tables in held.items()},
            reserved=list(range(1, 1 + pool.reserved)),
            step_keys=sorted(
                group_key(content, group)
                for group, one in enumerate(pool.maps)
                for content in one.cached_this_step
            ),
            usage=manager.usage,
            stats=stats_of(manager.prefix_cache_stats),
        )


def open_optimized(release: str | None, python: Path | None, tell: Callable[[str], None]) -> InProcessTarget:
    """The registry's entry point."""
    del tell
    refuse_release("optimized", release, python)
    return InProcessTarget("optimized", OptimizedSession)


def compiled_session() -> type[OptimizedSession]:
    """A session over the compiled manager. Raises UserError if it has not been built."""
    try:
        module = import_module("kvref.compiled")
    except ModuleNotFoundError as absent:
        raise UserError(
            "the compiled manager has not been built for this interpreter: run make compile"
        ) from absent

    class CompiledSession(OptimizedSession):
        """The same session over the compiled manager."""

        manager_class = module.KVCacheManager

    return CompiledSession


def open_compiled(release: str | None, python: Path | None, tell: Callable[[str], None]) -> InProcessTarget:
    """The registry's entry point for the compiled form."""
    del tell
    refuse_release("compiled", release, python)
    return InProcessTarget("compiled", compiled_session())
