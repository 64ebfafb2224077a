"""The optimized manager as a target, and its compiled form, pictured from arrays of integers."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from kvref.errors import UserError
from kvref.operations import Configuration
from kvref.optimized import KVCacheManager
from kvref.optimized.pool import GROUP_BYTES, group_key
from kvref.targets.inprocess import InProcessSession, InProcessTarget, Latest, State, refuse_release
from kvref.targets.session import picture_map, stats_of

Holders = tuple[dict[bytes, int], dict[bytes, list[int]]]
"""Of one group, the block that was cached first by content, and the younger ones."""


class OptimizedSession(InProcessSession):
    """An optimized manager and the requests that its caller keeps."""

    manager_class = KVCacheManager
    manager: KVCacheManager

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self._keys = Latest(_keys)
        self._prefix_map = Latest(_prefix_map)

    def state(self) -> State:
        """Copies of all that is shown of the manager [OBS-2 to OBS-5, OBS-7, OBS-8]."""
        manager, pool = self.manager, self.manager.pool
        held = {
            name: manager.tables[name] for name in sorted(manager.tables) if any(manager.tables[name].rows)
        }
        maps = [
            (one.oldest.copy(), {name: [*more] for name, more in one.younger.items()}) for one in pool.maps
        ]
        keys = self._keys(pool.content[:], pool.group_of[:])
        states = [
            group_key(content, group)
            for group, own in enumerate(pool.maps)
            for content in own.cached_this_step
        ]
        return (
            [stretch.users for stretch in pool.stretches.of],
            keys,
            pool.queue.ids(),
            self._prefix_map(maps, keys),
            {name: [row[:] for row in own.rows] for name, own in held.items()},
            {name: own.handled[:] for name, own in held.items()},
            [*range(1, 1 + pool.reserved)],
            sorted(states),
            manager.usage,
            stats_of(manager.prefix_cache_stats),
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
