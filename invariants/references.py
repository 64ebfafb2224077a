"""Reference counts: how often a block is used is how often it stands in a table."""

from collections.abc import Iterator

from invariants.protocols import state_invariant
from invariants.setting import Setting
from invariants.view import View
from spec.units import NULL_BLOCK


def uses(view: View) -> list[int]:
    """How many table entries hold each block, null entries left out [INV-3]."""
    counts = [0] * len(view.ref_counts)
    for tables in view.tables.values():
        for table in tables:
            for block in table:
                counts[block] += 1
    counts[NULL_BLOCK] = 0
    return counts


@state_invariant(
    "picture-is-whole", "ref_counts", "keys", "free_queue", "prefix_map", "tables", "handled", "reserved"
)
def picture_is_whole(view: View, setting: Setting) -> Iterator[str]:
    """A view names every block of the pool, every group in every table, and nothing else [OBS-3, OBS-5]."""
    count = setting.num_blocks
    if (len(view.ref_counts), len(view.keys)) != (count, count):
        yield f"the pool has {count} blocks, not {len(view.ref_counts)} counts and {len(view.keys)} keys"
    for name, tables in view.tables.items():
        if len(tables) != len(setting.groups) or len(view.handled.get(name, ())) != len(setting.groups):
            yield f"request {name} has {len(tables)} tables, but there are {len(setting.groups)} groups"
    named = {*view.free_queue, *view.reserved}
    named.update(*[holders for _, holders in view.prefix_map])
    for tables in view.tables.values():
        named.update(*tables)
    if named and (min(named) < 0 or max(named) >= count):
        foreign = sorted(block for block in named if not 0 <= block < count)
        yield f"blocks {foreign} are not in the pool of {count} blocks"


@state_invariant("count-equals-use", "ref_counts", "tables")
def count_equals_use(view: View, _setting: Setting) -> Iterator[str]:
    """A block's reference count is the number of table entries that hold it, in all requests [INV-3]."""
    used = uses(view)
    if used == view.ref_counts:
        return
    for block, count in enumerate(view.ref_counts):
        if count != used[block]:
            where = ", ".join(f"{name}[{g}][{i}]" for name, g, i in entries(view, block)) or "no table"
            yield f"block {block} counts {count} uses, but {used[block]} table entries hold it: {where}"


@state_invariant("null-block-is-nothing", "free_queue", "reserved", "keys")
def null_block_is_nothing(view: View, _setting: Setting) -> Iterator[str]:
    """The null block is never free to take, never set aside, and has no content [POOL-2]."""
    if NULL_BLOCK in view.free_queue:
        yield f"the null block is in the free queue, at position {view.free_queue.index(NULL_BLOCK)}"
    if NULL_BLOCK in view.reserved:
        yield "the null block is among the reserved blocks"
    if view.keys[NULL_BLOCK] is not None:
        yield f"the null block has the key {view.keys[NULL_BLOCK]!r}"


def entries(view: View, block: int) -> list[tuple[str, int, int]]:
    """Where the block stands: request, group and index of each entry."""
    return [
        (name, g, i)
        for name, tables in view.tables.items()
        for g, table in enumerate(tables)
        for i, held in enumerate(table)
        if held == block
    ]
