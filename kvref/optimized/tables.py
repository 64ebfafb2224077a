"""The block tables of one request, and how they are bound, grown, released and freed."""

from typing import Final, final

from .groups import FOREVER, Group
from .pool import BlockPool


@final
class Tables:
    """One table a group; 0 stands for a null entry [DATA-9].

    The first `released[g]` entries are null. `handled[g]` entries were offered to the prefix cache
    [DATA-8]. Nothing is taken for slots up to `grows_behind`, released while less than `releases_at`
    tokens are computed, or cached of less than `caches_at` tokens; so that a step whose slots end at
    or before `quiet` has nothing to do. `has_gaps`: behind the released entries there may be nulls.
    To the free queue the tables are one owner of blocks, a number.
    """

    def __init__(self, groups: int, owner: int) -> None:
        self.owner: Final = owner
        self.rows: Final[list[list[int]]] = [[] for _ in range(groups)]
        self.released: Final[list[int]] = [0] * groups
        self.handled: Final[list[int]] = [0] * groups
        self.has_gaps = False
        self.grows_behind = 0
        self.releases_at = 0
        self.caches_at = 0
        self.quiet = 0

    def note_growth(self, groups: list[Group]) -> None:
        """Work out when some table grows next."""
        limit = FOREVER
        for group in groups:
            limit = min(limit, group.covered(len(self.rows[group.index])))
        self.grows_behind = limit
        self._note_quiet()

    def note_release(self, groups: list[Group]) -> None:
        """Work out when some entry is no longer read."""
        limit = FOREVER
        for group in groups:
            limit = min(limit, group.next_release(self.released[group.index]))
        self.releases_at = limit
        self._note_quiet()

    def note_caching(self, groups: list[Group]) -> None:
        """Work out when some block is to be cached."""
        limit = FOREVER
        for group in groups:
            limit = min(limit, group.next_cached(self.handled[group.index]))
        self.caches_at = limit
        self._note_quiet()

    def _note_quiet(self) -> None:
        # A step computes a token at least, so its slots end behind what is computed.
        self.quiet = min(self.grows_behind, self.releases_at, self.caches_at - 1)


@final
class Start:
    """How a new request's table begins: nulls, then hits from `nulls` on, then external blocks."""

    def __init__(self, nulls: int, kept: list[int], external: int) -> None:
        self.nulls: Final = nulls
        self.kept: Final = kept
        self.external: Final = external

    @property
    def length(self) -> int:
        """The entries that stand before anything is grown."""
        return self.nulls + len(self.kept) + self.external


def start_of(group: Group, hits: list[int], computed: int, external: int) -> Start:
    """The beginning of a table with `computed` tokens, of which `external` come from outside [BIND-3]."""
    if not group.binds():
        return Start(0, hits, 0)
    nulls = group.first_read(computed)
    kept = hits[nulls:] if nulls else hits
    fresh = 0
    if external and (not nulls or group.skipped_tokens(computed) < computed):
        fresh = max(0, -(-computed // group.block_size) - nulls - len(kept))
    return Start(nulls, kept, fresh)


def growth_need(group: Group, length: int, target: int, *, is_new: bool) -> int:
    """How many blocks a table of `length` entries takes to reach `target` [GET-1, MAMBA-7]."""
    if target <= length:
        return 0
    if not group.has_gaps:
        return target - length
    running = target - group.drafts - 1
    moved = 0 if is_new else max(0, min(length, running) - (length - group.drafts))
    return target - max(length, running) - moved


def bind(pool: BlockPool, group: Group, tables: Tables, start: Start) -> None:
    """Begin a table, its hits held already. Hits count as handled, external blocks do not [BIND-7]."""
    g = group.index
    row = tables.rows[g]
    row.extend([0] * start.nulls)
    row.extend(start.kept)
    tables.has_gaps = tables.has_gaps or group.has_gaps or 0 in start.kept
    tables.released[g] = start.nulls
    tables.handled[g] = len(row)
    if start.external:
        row.extend(pool.take(start.external, tables.owner))


def grow(pool: BlockPool, group: Group, tables: Tables, target: int, *, is_new: bool) -> list[int]:
    """Grow the table to `target` entries: what was appended, moved blocks and nulls included [GET-2]."""
    row = tables.rows[group.index]
    length = len(row)
    if target <= length:
        return []
    if not group.has_gaps:
        taken = pool.take(target - length, tables.owner)
        row.extend(taken)
        return taken
    running = target - group.drafts - 1
    if length < running:
        row.extend([0] * (running - length))
    if not is_new:
        for index in range(length - group.drafts, min(length, running)):
            row.append(row[index])
            row[index] = 0
    row.extend(pool.take(target - len(row), tables.owner))
    return row[length:]


def release_skipped(pool: BlockPool, group: Group, tables: Tables, computed: int) -> None:
    """Release the entries that no token behind `computed` ones reads [SKIP-1].

    From the last to the first: those in a row go with their content to the back and without it to
    the front; recurrent states that stand apart all go to the back [SKIP-2, SKIP-3, MAMBA-2, Q-52].
    """
    g = group.index
    row, first = tables.rows[g], tables.released[g]
    end = min(group.released_entries(computed), len(row))
    if end <= first:
        return
    content = pool.content
    cached: list[int] = []
    scratch: list[int] = []
    at = end
    while at > first and row[at - 1]:
        at -= 1
        block = row[at]
        if content[block] is None:
            scratch.append(block)
        else:
            cached.append(block)
    apart = [block for block in reversed(row[first:at]) if block]
    row[first:end] = [0] * (end - first)
    tables.released[g] = end
    if cached:
        pool.release(cached, tables.owner)
    if scratch:
        pool.release(scratch, tables.owner, to_front=True)
    if apart:
        pool.release(apart, tables.owner)


def free(pool: BlockPool, group: Group, tables: Tables) -> None:
    """Release a whole table from its end [FREE-1]; a window's scratch blocks go to the front [FREE-2]."""
    g = group.index
    row, first = tables.rows[g], tables.released[g]
    if group.frees_scratch_first:
        handled = max(first, tables.handled[g])
        scratch = row[handled:]
        cached = row[first:handled]
        if group.thins_out or pool.was_evicted_by_hand:
            content = pool.content
            scratch = [block for block in row[first:] if content[block] is None]
            cached = [block for block in row[first:] if content[block] is not None]
    else:
        scratch, cached = [], row[first:]
    if tables.has_gaps:
        scratch = [block for block in scratch if block]
        cached = [block for block in cached if block]
    cached.reverse()
    pool.release_last(cached, tables.owner)
    if scratch:
        scratch.reverse()
        pool.release(scratch, tables.owner, to_front=True)
