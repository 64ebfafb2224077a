"""The optimized manager as a target, and its compiled form, pictured from arrays of integers."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from invariants.view import View
from kvref.errors import UserError
from kvref.operations import Stats
from kvref.optimized import KVCacheManager
from kvref.optimized.pool import GROUP_BYTES, group_key
from kvref.targets.inprocess import InProcessSession, InProcessTarget, refuse_release
from kvref.targets.session import picture_map, stats_of

Holders = tuple[dict[bytes, int], dict[bytes, list[int]]]
"""Of one group, the block that was cached first by content, and the younger ones."""


class OptimizedSession(InProcessSession):
    """An optimized manager and the requests that its caller keeps."""

    manager_class = KVCacheManager
    manager: KVCacheManager

    def view(self) -> View:
        """The manager's state [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager, pool = self.manager, self.manager.pool
        names = sorted([name for name, own in manager.tables.items() if any(own.rows)])
        return self.pictured(
            _picture,
            [stretch.users for stretch in pool.stretches.of],
            pool.content[:],
            pool.group_of[:],
            pool.queue.ids(),
            [(one.oldest.copy(), {name: [*more] for name, more in one.younger.items()}) for one in pool.maps],
            {name: [row[:] for row in manager.tables[name].rows] for name in names},
            {name: manager.tables[name].handled[:] for name in names},
            pool.reserved,
            [one.cached_this_step.copy() for one in pool.maps],
            manager.usage,
            stats_of(manager.prefix_cache_stats),
        )


def _picture(
    users: list[int],
    contents: list[bytes | None],
    groups: list[int],
    free: list[int],
    maps: list[Holders],
    tables: dict[str, list[list[int]]],
    handled: dict[str, list[int]],
    reserved: int,
    states: list[set[bytes]],
    usage: float,
    stats: Stats | None,
) -> View:
    """Contents, and names of contents, become keys group by group [HASH-9]."""
    keys = _keys(contents, groups)
    return View(
        users,
        keys,
        free,
        _prefix_map(maps, keys),
        tables,
        handled,
        [*range(1, 1 + reserved)],
        sorted([group_key(content, group) for group, own in enumerate(states) for content in own]),
        usage,
        stats,
    )


def _keys(contents: list[bytes | None], groups: list[int]) -> list[bytes | None]:
    """The blocks' keys; a lone group is not told block by block [HASH-9]."""
    if not groups:
        return [None if content is None else group_key(content, 0) for content in contents]
    return [
        None if content is None else group_key(content, group)
        for content, group in zip(contents, groups, strict=True)
    ]


def _prefix_map(maps: list[Holders], keys: list[bytes | None]) -> list[tuple[bytes, list[int]]]:
    """What each group's map lists, under the key of the block that was cached first."""
    entries: dict[bytes, list[int]] = {}
    for group, (oldest, younger) in enumerate(maps):
        for name, first in oldest.items():
            key = keys[first]
            assert key is not None  # noqa: S101 - the map names cached blocks
            assert key == group_key(key[:-GROUP_BYTES], group)  # noqa: S101
            entries[key] = [first, *younger.get(name, ())]
    return picture_map(entries.items())


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
