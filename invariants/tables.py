"""Block tables: what stands in them, and how they may change."""

from collections.abc import Iterator
from itertools import takewhile

from invariants.allocation import (
    after_skip,
    layout,
    nulls_bound,
    released_first,
    used_hit,
)
from invariants.history import History
from invariants.protocols import state_invariant, step_invariant
from invariants.setting import Setting
from invariants.step import Allocate, Free, Skip, Step
from invariants.view import View
from spec import capacity
from spec.attention import AlignedMambaState
from spec.units import NULL_BLOCK


@state_invariant("one-group-a-block", "tables")
def one_group_a_block(view: View, setting: Setting) -> Iterator[str]:
    """No block stands in the tables of two groups, whose layers write other numbers into it [INV-5, Q-3]."""
    if len(setting.groups) == 1:
        return
    everyone = view.tables.values()
    held = [{NULL_BLOCK}.union(*[tables[g] for tables in everyone]) for g in range(len(setting.groups))]
    if sum(map(len, held)) - len(held) == len(set().union(*held)) - 1:
        return  # apart from the null block they have none in common
    owner: dict[int, int] = {}
    for group, blocks in enumerate(held):
        for block in sorted(blocks - {NULL_BLOCK}):
            first = owner.setdefault(block, group)
            if first != group:
                yield f"block {block} stands in tables of group {first} and of group {group}"


@state_invariant("one-entry-a-block", "tables")
def one_entry_a_block(view: View, _setting: Setting) -> Iterator[str]:
    """A block stands at most once in a table: no two ranges of tokens share slots [INV-3]."""
    for name, tables in view.tables.items():
        for group, table in enumerate(tables):
            nulls = table.count(NULL_BLOCK)
            if len({NULL_BLOCK, *table}) - 1 != len(table) - nulls:
                twice = sorted({block for block in table if block != NULL_BLOCK and table.count(block) > 1})
                yield f"blocks {twice} stand twice in the table of request {name}, group {group}: {table}"


@state_invariant("nulls-come-first", "tables")
def nulls_come_first(view: View, setting: Setting) -> Iterator[str]:
    """A table's null entries come before all others, and there are none where every token stays readable [INV-7].

    In Mamba's align mode they may stand anywhere: only running states hold blocks [MAMBA-7].
    """
    for name, tables in view.tables.items():
        for group, (table, own) in enumerate(zip(tables, setting.groups, strict=True)):
            if NULL_BLOCK not in table or isinstance(own.attention, AlignedMambaState):
                continue
            leading = sum(1 for _ in takewhile(lambda block: block == NULL_BLOCK, table))
            if own.attention.keeps_every_token or NULL_BLOCK in table[leading:]:
                yield f"request {name}, group {group} ({own.attention}): a block is missing in {table}"


@state_invariant("handled-within-table", "tables", "handled", "keys")
def handled_within_table(view: View, _setting: Setting) -> Iterator[str]:
    """Only entries that were offered to the prefix cache have a key, and only existing ones were [INV-6]."""
    for name, tables in view.tables.items():
        for group, (table, handled) in enumerate(zip(tables, view.handled[name], strict=True)):
            if handled > len(table):
                yield f"request {name}, group {group}: {handled} entries handled, but only {len(table)} held"
            early = [
                block for block in table[handled:] if block != NULL_BLOCK and view.keys[block] is not None
            ]
            if early:
                yield f"request {name}, group {group}: blocks {early} have keys before they were handled"


@step_invariant("tables-only-grow", "tables", of=(Allocate, Free, Skip))
def tables_only_grow(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """A table changes by its own request's operations alone: entries are appended, or become null [INV-11].

    Null becomes what is no longer read [SKIP-2], and in Mamba's align mode what moves behind the
    running state [MAMBA-7].
    """
    request = getattr(step.action, "request", None)
    for name in before.tables.keys() | after.tables.keys():
        old, new = before.tables.get(name), after.tables.get(name)
        if name != request and old != new:
            yield f"{step.action} changed the tables of request {name} from {old} to {new}"
    if request is None:
        return
    own = after.tables.get(request)
    match step.action:
        case Free():
            expected = None
        case Skip(tokens=tokens) if request in before.tables:
            expected = after_skip(before, request, tokens, history.setting).tables
        case Allocate(appended=tuple()) as action if request in before.tables:
            yield from _growth(before, action, after, history)
            return
        case Allocate():
            return
        case _:
            expected = before.tables.get(request)
    if own != expected:
        yield f"{step.action} must leave request {request} the tables {expected}, but they are {own}"


def _growth(before: View, action: Allocate, after: View, history: History) -> Iterator[str]:
    setting = history.setting
    kept = released_first(before, action, setting).tables
    own = after.tables.get(action.request, [[] for _ in kept])
    for group, (old, new) in enumerate(zip(kept, own, strict=True)):
        moves = isinstance(setting.groups[group].attention, AlignedMambaState)
        appended = new[len(old) :]
        lost = [
            index
            for index, block in enumerate(old)
            if new[index : index + 1] != [block]
            and not (moves and new[index : index + 1] == [NULL_BLOCK] and block in appended)
        ]
        if lost:
            yield (
                f"{action} changed the entries {lost} of group {group}: the table was {old} when what is "
                f"not read was released, and is {new}"
            )


@step_invariant("tables-hold-the-slots", of=(Allocate,))
def tables_hold_the_slots(_before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """After an allocation every group's table reaches as far as the step's slots [INV-8]."""
    action = step.action
    if not isinstance(action, Allocate) or action.appended is None:
        return
    slots = layout(action, history.setting)
    tables = after.tables.get(action.request, [[] for _ in history.setting.groups])
    for group, (table, own) in enumerate(zip(tables, history.setting.groups, strict=True)):
        wanted = capacity.table_length(own.attention, slots)
        if len(table) < wanted:
            yield f"{action} needs {wanted} entries in group {group}, but the table is {table}"


@step_invariant("hits-are-bound", of=(Allocate,))
def hits_are_bound(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """A new table starts with nulls where nothing reads any more, then the blocks of its hit [BIND-4, BIND-6]."""
    action = step.action
    if not isinstance(action, Allocate) or action.appended is None or action.request in before.tables:
        return
    hit, slots = used_hit(before, action, history), layout(action, history.setting)
    tables = after.tables.get(action.request, [[] for _ in history.setting.groups])
    for group, (table, own) in enumerate(zip(tables, history.setting.groups, strict=True)):
        found = list(hit.blocks[group]) if hit and group < len(hit.blocks) else []
        nulls = nulls_bound(own.attention, len(found), slots)
        expected = [NULL_BLOCK] * nulls + found[nulls:]
        if table[: len(expected)] != expected:
            yield f"{action} must start the table of group {group} with {expected}, but it is {table}"
