"""The block tables of one request, and how they are bound, grown, released and freed."""

from typing import Final, final

from .free_queue import Stretch
from .groups import FOREVER, Group
from .pool import BlockPool


@final
class Tables:
    """One table a group; 0 stands for a null entry [DATA-9].

    The first `released[g]` entries are null. `handled[g]` entries were offered to the prefix cache
    [DATA-8]. Nothing is taken for slots up to `grows_behind`, released while less than `releases_at`
    tokens are computed, or cached of less than `caches_at` tokens; so that a step whose slots end at
    or before `quiet` has nothing to do.
    """

    def __init__(self, groups: int) -> None:
        self.rows: Final[list[list[int]]] = [[] for _ in range(groups)]
        self.released: Final[list[int]] = [0] * groups
        self.handled: Final[list[int]] = [0] * groups
        self.grows_behind = 0
        self.releases_at = 0
        self.caches_at = 0
        self.quiet = 0

    def note_growth(self, groups: list[Group]) -> None:
        """Work out when some table grows next."""
        rows = self.rows
        self.grows_behind = min([group.covered(len(rows[group.index])) for group in groups], default=FOREVER)
        self._note_quiet()

    def note_release(self, groups: list[Group]) -> None:
        """Work out when some entry is no longer read."""
        released = self.released
        self.releases_at = min(
            [group.next_release(released[group.index]) for group in groups], default=FOREVER
        )
        self._note_quiet()

    def note_caching(self, groups: list[Group]) -> None:
        """Work out when some block is to be cached."""
        handled = self.handled
        self.caches_at = min([group.next_cached(handled[group.index]) for group in groups], default=FOREVER)
        self._note_quiet()

    def _note_quiet(self) -> None:
        # A step computes a token at least, so its slots end behind what is computed.
        self.quiet = min(self.grows_behind, self.releases_at, self.caches_at - 1)


@final
class Start:
    """How a new request's table begins: nulls, then hits from `nulls` on, then external blocks."""

    def __init__(self, nulls: int, kept: list[int], hits: list[Stretch], external: int) -> None:
        self.nulls: Final = nulls
        self.kept: Final = kept
        self.hits: Final = hits
        self.external: Final = external

    @property
    def length(self) -> int:
        """The entries that stand before anything is grown."""
        return self.nulls + len(self.kept) + self.external


def start_of(pool: BlockPool, group: Group, hits: list[int], computed: int, external: int) -> Start:
    """The beginning of a table with `computed` tokens, of which `external` come from outside [BIND-3]."""
    nulls, kept, fresh = 0, hits, 0
    if group.binds():
        nulls = group.first_read(computed)
        kept = hits[nulls:] if nulls else hits
        if external and (not nulls or group.skipped_tokens(computed) < computed):
            fresh = -(-computed // group.block_size) - nulls - len(kept)
    return Start(nulls, kept, pool.stretches.hits(kept), fresh)


def start_need(group: Group, start: Start, target: int) -> int:
    """What a new request takes from the queue: hits, external blocks, growth [NEED-1, ALLOC-14]."""
    need = start.external + growth_need(group, start.length, target, is_new=True)
    for stretch in start.hits:
        if not stretch.users:
            need += len(stretch.blocks)
    return need


def growth_need(group: Group, length: int, target: int, *, is_new: bool) -> int:
    """How many blocks a table of `length` entries takes to reach `target` [GET-1, MAMBA-7]."""
    if target <= length:
        return 0
    if not group.has_gaps:
        return target - length
    # The state and the drafts' behind it; a table that has them moves the drafts' along.
    return min(target - length, group.drafts + 1) if is_new else 1


def bind(pool: BlockPool, group: Group, tables: Tables, start: Start) -> None:
    """Begin a table, its hits held already. Hits count as handled, external blocks do not [BIND-7]."""
    g = group.index
    row = tables.rows[g]
    row.extend([0] * start.nulls)
    row.extend(start.kept)
    tables.released[g] = start.nulls
    tables.handled[g] = len(row)
    if start.external:
        pool.take(start.external, row, apart=group.has_gaps)


def grow(pool: BlockPool, group: Group, tables: Tables, target: int, *, is_new: bool) -> list[int]:
    """Grow the table to `target` entries: what was appended, moved blocks and nulls included [GET-2]."""
    row = tables.rows[group.index]
    length = len(row)
    missing = target - length
    if missing <= 0:
        return []
    if not group.has_gaps:
        return pool.take(missing, row)
    running = target - group.drafts - 1
    if length < running:
        row.extend([0] * (running - length))
    if not is_new:
        for index in range(length - group.drafts, min(length, running)):
            row.append(row[index])
            row[index] = 0
    pool.take(target - len(row), row, apart=True)
    return row[length:]


def release_skipped(pool: BlockPool, group: Group, tables: Tables, computed: int) -> None:
    """Release the entries that no token behind `computed` ones reads [SKIP-1].

    From the last down to the first null, with content to the back and without it to the front. Behind that null
    recurrent states that stand apart all go to the back; of a window, whose hit had the null in its midst,
    nothing goes [SKIP-2, SKIP-3, MAMBA-2, Q-52].
    """
    g = group.index
    row, first = tables.rows[g], tables.released[g]
    end = min(group.released_entries(computed), len(row))
    if end <= first:
        return
    if end == first + 1 and end <= tables.handled[g] and not (group.thins_out or pool.was_evicted_by_hand):
        # A window's next step, as a rule.
        if row[first]:
            pool.stretches.release_one(row[first])
            row[first] = 0
        tables.released[g] = end
        return
    at = first
    if 0 in row[first:end]:
        at = end
        while row[at - 1]:
            at -= 1
    _release_by_content(pool, group, tables, at, end)
    if group.has_gaps:
        pool.stretches.release(row, first, at)
        at = first
    row[at:end] = [0] * (end - at)
    if at == first:
        tables.released[g] = end


def free(pool: BlockPool, group: Group, tables: Tables) -> None:
    """Release a whole table from its end [FREE-1]; a window's scratch blocks go to the front [FREE-2]."""
    row, first = tables.rows[group.index], tables.released[group.index]
    if group.frees_scratch_first:
        _release_by_content(pool, group, tables, first, len(row))
    else:
        pool.stretches.release(row, first, len(row))


def _release_by_content(pool: BlockPool, group: Group, tables: Tables, start: int, end: int) -> None:
    """Release entries, those with content to the back and those without to the front."""
    row = tables.rows[group.index]
    if group.thins_out or pool.was_evicted_by_hand:
        content = pool.content
        cached = [block for block in row[start:end] if content[block] is not None]
        scratch = [block for block in row[start:end] if content[block] is None]
        pool.stretches.release(cached, 0, len(cached))
        pool.stretches.release(scratch, 0, len(scratch), to_front=True)
        return
    handled = min(max(start, tables.handled[group.index]), end)
    if start < handled:
        pool.stretches.release(row, start, handled)
    if handled < end:
        pool.stretches.release(row, handled, end, to_front=True)
