"""Slots for a step: what they need, whether that is there, and taking it."""

from typing import Final, final

from kvref.config import ManagerConfig
from kvref.request import Request

from .caching import cache_full_blocks
from .groups import FOREVER, Group
from .mistakes import check_hashed
from .pool import BlockPool
from .results import BlockIds
from .tables import Start, Tables, bind, grow, growth_need, release_skipped, start_need, start_of


@final
class Extent:
    """What an allocation covers, in tokens, from left to right [ALLOC-2, ALLOC-4]."""

    def __init__(self, local: int, external: int, new: int, lookahead: int, encoder: int) -> None:
        self.local: Final = local
        self.external: Final = external
        self.new: Final = new
        self.lookahead: Final = lookahead
        self.encoder: Final = encoder


@final
class Allocator:
    """Serves steps from the pool; `tables` are those of all requests that hold any."""

    def __init__(
        self, config: ManagerConfig, groups: list[Group], members: list[list[int]], pool: BlockPool
    ) -> None:
        self.tables: Final[dict[str, Tables]] = {}
        self.empty: Final = BlockIds(pool, [[] for _ in groups])
        self.new_ids: Final[list[list[int]]] = [[] for _ in groups]
        self._groups: Final = groups
        self._releasing: Final = [group for group in groups if group.next_release(0) < FOREVER]
        # Groups with an equal spec have tables of one shape: the first of them tells when something is due.
        self._telling: Final = [groups[own[0]] for own in members]
        self._pool: Final = pool
        self._model: Final = config.max_model_len
        self._batched: Final = config.batched_tokens
        self._fine_size: Final = config.hash_block_size
        self._caching: Final = config.enable_caching
        self._tells: Final = config.enable_kv_cache_events

    # Requests that hold tables

    def step(
        self,
        request: Request,
        tables: Tables,
        local: int,
        new: int,
        lookahead: int,
        encoder: int,
        caches: bool,
        reserved: int,
    ) -> BlockIds | None:
        """Slots for a request that holds tables: release, take and cache what is due [ALLOC-5 to ALLOC-8]."""
        groups, pool = self._groups, self._pool
        computed = min(local, self._model)
        main = computed + new
        full_tokens = 0
        if caches and main >= tables.caches_at:
            full_tokens = min(main, request.num_tokens, self._model)
            if full_tokens >= tables.caches_at:
                check_hashed(request, full_tokens, self._fine_size, groups)
        if computed >= tables.releases_at:
            self.release(tables, computed)
        appended = self.empty
        slots = min(main + lookahead, self._model)
        if max(slots, main) > tables.grows_behind or encoder:
            targets: list[int] = []
            need = 0
            for group in groups:
                target = group.table_length(slots, main, encoder)
                need += growth_need(group, len(tables.rows[group.index]), target, is_new=False)
                targets.append(target)
            if need:
                if need > pool.queue.count - reserved:
                    return None
                appended = self._grow(tables, targets, is_new=False)
        if full_tokens >= tables.caches_at:
            self.cache(request, tables, full_tokens)
        return appended

    def release(self, tables: Tables, computed: int) -> None:
        """Release what no token behind `computed` ones reads, group after group [SKIP-1]."""
        for group in self._releasing:
            release_skipped(self._pool, group, tables, computed)
        tables.note_release(self._telling)

    def cache(self, request: Request, tables: Tables, tokens: int) -> None:
        """Cache all groups' full blocks among the first `tokens` tokens [ALLOC-12]."""
        for group in self._groups:
            cache_full_blocks(self._pool, group, request, tables, tokens, self._tells)
        tables.note_caching(self._telling)

    def _grow(self, tables: Tables, targets: list[int], *, is_new: bool) -> BlockIds:
        """Let every table grow to its target: what was appended [ALLOC-10, ALLOC-13]."""
        appended: list[list[int]] = []
        something = False
        for group in self._groups:
            taken = grow(self._pool, group, tables, targets[group.index], is_new=is_new)
            if taken:
                something = True
                if group.is_zeroed:
                    self.new_ids[group.index] += taken
            appended.append(taken)
        tables.note_growth(self._telling)
        return BlockIds(self._pool, appended) if something else self.empty

    # New requests, and what is rare

    def allocate(
        self,
        request: Request,
        hits: list[list[int]],
        extent: Extent,
        caches: bool,
        must_fit: bool,
        reserved: int,
    ) -> BlockIds | None:
        """Slots for any request, whatever is asked for."""
        tables = self.tables.get(request.request_id)
        main = min(extent.local + extent.external, self._model) + extent.new
        full_tokens = 0
        if caches and self._caching:
            full_tokens = min(main, request.num_tokens, self._model)
            check_hashed(request, full_tokens, self._fine_size, self._groups)
        if tables is None:
            return self._admit(request, hits, extent, main, full_tokens, must_fit, reserved)
        if must_fit and self._worst_need_of_held(request, tables, extent) > self._pool.queue.count:
            return None
        return self.step(
            request, tables, extent.local, extent.new, extent.lookahead, extent.encoder, caches, reserved
        )

    def _admit(
        self,
        request: Request,
        hits: list[list[int]],
        extent: Extent,
        main: int,
        full_tokens: int,
        must_fit: bool,
        reserved: int,
    ) -> BlockIds | None:
        """Begin the tables of a new request, if what it needs is there [ALLOC-9, NEED-1]."""
        if self._resumes_from_this_step(hits):
            return None
        computed = extent.local + extent.external
        pool = self._pool
        starts = [
            start_of(pool, group, hits[group.index], computed, extent.external) for group in self._groups
        ]
        slots = min(main + extent.lookahead, self._model)
        free = self._pool.queue.count
        if must_fit and self._worst_need(request, starts, extent) > free:
            return None
        targets = [group.table_length(slots, main, extent.encoder) for group in self._groups]
        need = 0
        for group in self._groups:
            need += start_need(group, starts[group.index], targets[group.index])
        if need and need > free - reserved:
            return None
        tables = Tables(len(self._groups))
        self.tables[request.request_id] = tables
        self._bind(tables, starts)
        appended = self._grow(tables, targets, is_new=True)
        tables.note_release(self._telling)
        tables.note_caching(self._telling if self._caching else [])
        if full_tokens >= tables.caches_at:
            self.cache(request, tables, full_tokens)
        return appended

    def _resumes_from_this_step(self, hits: list[list[int]]) -> bool:
        """Whether a hit state is yet to be computed by the step that is being scheduled [MAMBA-3]."""
        for group in self._groups:
            row = hits[group.index]
            if group.is_state and row:
                content = self._pool.content[row[-1]]
                if content is not None and content in self._pool.maps[group.index].cached_this_step:
                    return True
        return False

    def _bind(self, tables: Tables, starts: list[Start]) -> None:
        """Begin a new request's tables: all groups' hits are held before any block is taken [BIND-5]."""
        for start in starts:
            self._pool.hold(start.hits)
        for group in self._groups:
            start = starts[group.index]
            bind(self._pool, group, tables, start)
            if start.external and group.is_zeroed:
                self.new_ids[group.index] += tables.rows[group.index][-start.external :]

    # Needs

    def _worst_need(self, request: Request, starts: list[Start], extent: Extent) -> int:
        """What a whole sequence takes at its worst moment [ADMIT-1, Q-17].

        Hits that others hold are no credit: they leave the window, and fresh blocks take over.
        """
        tokens = min(request.num_tokens, self._model)
        total = 0
        for group in self._groups:
            target = group.table_length(tokens, tokens, extent.encoder)
            need = start_need(group, starts[group.index], target)
            total += min(need, group.most_held(self._batched, extent.lookahead, self._model))
        return total

    def _worst_need_of_held(self, request: Request, tables: Tables, extent: Extent) -> int:
        """The same for a request that holds tables: what it holds by now is no longer needed."""
        tokens = min(request.num_tokens, self._model)
        total = 0
        for group in self._groups:
            row = tables.rows[group.index]
            target = group.table_length(tokens, tokens, extent.encoder)
            need = growth_need(group, len(row), target, is_new=False)
            most = group.most_held(self._batched, extent.lookahead, self._model)
            total += min(need, max(0, most - len(row) + row.count(0)))
        return total
