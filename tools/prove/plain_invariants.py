"""Each invariant of a state finds a fault exactly where a plainer form of it is false.

The invariants take short ways through the picture that a manager gives; here each is held against what its
rule says of every block, over pictures of two blocks and the null block. Those of a step are in `plain_hits`,
`plain_tables`, `plain_content` and `plain_effects`.
"""

from dataclasses import replace

from invariants import free_queue, prefix_map, references, tables
from tools.prove.lemma import Lemma
from tools.prove.small import BLOCKS, EMPTY, ENTRIES, FULL, SETTING, SINK, WINDOW, known


def free_exactly_if_unused(one: int, two: int, first: int, second: int, aside: bool) -> bool:
    """A block is queued once if it is unused and not set aside, else never [INV-1].

    pre: 0 <= one <= 1 and 0 <= two <= 1 and 1 <= first <= 2 and 0 <= second <= 2
    post: __return__
    """
    queue = [first] if second == 0 else [first, second]
    view = replace(EMPTY, ref_counts=[0, one, two], free_queue=queue, reserved=[2] if aside else [])
    unused = {1: one == 0, 2: two == 0 and not aside}
    plain = all(queue.count(block) == int(unused[block]) for block in BLOCKS)
    return (not free_queue.free_iff_unused(view, SETTING)) == plain


def counted_as_often_as_used(one: int, two: int, first: int, second: int, other: int) -> bool:
    """A block counts as many uses as tables have entries of it [INV-3].

    pre: 0 <= one <= 2 and 0 <= two <= 1
    pre: 0 <= first <= 2 and 0 <= second <= 2 and 0 <= other <= 2
    post: __return__
    """
    entries = [known(first), known(second), known(other)]
    held = {"a": [entries[:2], []], "b": [[], entries[2:]]}
    view = replace(EMPTY, ref_counts=[0, one, two], tables=held)
    plain = all(entries.count(block) == view.ref_counts[block] for block in BLOCKS)
    return (not references.count_equals_use(view, SETTING)) == plain


def the_null_block_is_nothing(first: int, aside: int, keyed: bool) -> bool:
    """The null block is neither queued nor set aside nor keyed [POOL-2].

    pre: 0 <= first <= 2 and 0 <= aside <= 2
    post: __return__
    """
    view = replace(EMPTY, free_queue=[first], reserved=[aside], keys=[b"k" if keyed else None, b"k", None])
    return (not references.null_block_is_nothing(view, SETTING)) == (first > 0 and aside > 0 and not keyed)


def sinks_are_held(first: int, second: int, used: bool, keyed: bool) -> bool:
    """As many blocks are set aside as the sinks need, without use or content [SINK-1].

    pre: 1 <= first <= 2 and 0 <= second <= 2
    post: __return__
    """
    aside = [first] if second == 0 else [first, second]
    view = replace(
        EMPTY, reserved=aside, ref_counts=[0, int(used), 0], keys=[None, None, b"k" if keyed else None]
    )
    plain = len(aside) == 1 and not (first == 1 and used) and not (first != 1 and keyed)
    return (not free_queue.reserved_are_held(view, replace(SETTING, groups=(SINK,)))) == plain


def all_is_free_without_requests(queued: int, held: bool, sink: bool) -> bool:
    """Without a request every block that is not set aside is free [INV-1, FREE-1].

    pre: 0 <= queued <= 2
    post: __return__
    """
    view = replace(EMPTY, free_queue=[1, 2][:queued], tables={"a": [[1]]} if held else {})
    setting = replace(SETTING, groups=(SINK,)) if sink else SETTING
    return (not free_queue.nothing_leaks(view, setting)) == (held or queued == (1 if sink else 2))


def usage_is_the_share(one: int, two: int, aside: bool, halves: int) -> bool:
    """The usage is the share of blocks that are used or set aside [USAGE-1, INV-12].

    pre: 0 <= one <= 2 and 0 <= two <= 2 and 0 <= halves <= 2 and not (aside and two > 0)
    post: __return__
    """
    usage = (0.0, 0.5, 1.0)[halves]
    view = replace(EMPTY, ref_counts=[0, one, two], reserved=[2] if aside else [], usage=usage)
    held = (1 if one > 0 else 0) + (1 if two > 0 or aside else 0)
    return (not free_queue.usage_is_held_share(view, SETTING)) == (held == halves)


def map_and_keys_agree(one: int, two: int, under_a: int, under_b: int) -> bool:
    """A block has a key exactly if the map lists it, once, under that key [INV-4, MAP-4].

    pre: 0 <= one <= 2 and 0 <= two <= 2 and 0 <= under_a <= 4 and 0 <= under_b <= 4
    post: __return__
    """
    listings: tuple[list[int], ...] = ([], [1], [2], [1, 2], [1, 1])
    names = (None, b"a", b"b")
    listed = {b"a": listings[under_a], b"b": listings[under_b]}
    view = replace(
        EMPTY,
        keys=[None, names[one], names[two]],
        prefix_map=[(key, list(holders)) for key, holders in listed.items() if holders],
    )
    plain = all(
        listed[key].count(block) == (1 if view.keys[block] == key else 0)
        for key in listed
        for block in BLOCKS
    )
    return (not prefix_map.map_and_blocks_agree(view, SETTING)) == plain


def a_block_has_one_place(first: int, second: int, other: int) -> bool:
    """A block stands once in a table, and in tables of one group [INV-3, INV-5].

    pre: 0 <= first <= 2 and 0 <= second <= 2 and 0 <= other <= 2
    post: __return__
    """
    view = replace(EMPTY, tables={"a": [[first, second], [other]]})
    twice = first == second > 0
    shared = other > 0 and other in (first, second)
    found = (
        not tables.one_entry_a_block(view, SETTING),
        not tables.one_group_a_block(view, SETTING),
    )
    return found == (not twice, not shared)


def nulls_are_in_front(first: int, second: int, third: int, fourth: int) -> bool:
    """A window's table has its nulls in front, that of full attention has none [INV-7].

    pre: 0 <= first <= 1 and 0 <= second <= 1 and 0 <= third <= 1 and 0 <= fourth <= 1
    post: __return__
    """
    table = [first, second, third, fourth]
    full, window = replace(SETTING, groups=(FULL,)), replace(SETTING, groups=(WINDOW,))
    view = replace(EMPTY, tables={"a": [table]})
    found = (not tables.nulls_come_first(view, full), not tables.nulls_come_first(view, window))
    return found == (min(table) == 1, first <= second <= third <= fourth)


def only_what_was_offered_has_a_key(first: int, second: int, handled: int, one: bool, two: bool) -> bool:
    """Entries that were not offered to the cache have no key, and only existing ones were [INV-6].

    pre: 0 <= first <= 2 and 0 <= second <= 2 and 0 <= handled <= 3
    post: __return__
    """
    view = replace(
        EMPTY,
        keys=[None, b"a" if one else None, b"b" if two else None],
        tables={"a": [[first, second]]},
        handled={"a": [handled]},
    )
    keyed = {0: False, 1: one, 2: two}
    early = (handled < 1 and keyed[first]) or (handled < ENTRIES and keyed[second])
    return (not tables.handled_within_table(view, replace(SETTING, groups=(FULL,)))) == (
        handled <= ENTRIES and not early
    )


NAMES = ("free_queue", "prefix_map", "tables", "reserved")


def only_blocks_of_the_pool_are_named(place: int, block: int) -> bool:
    """What is queued, listed, held or set aside is one of the pool's three blocks [OBS-3].

    pre: 0 <= place <= 3 and -1 <= block <= 4
    post: __return__
    """
    holders = ([1, block], [(b"a", [block])], {"a": [[], [block]]}, [block])[place]
    view = replace(EMPTY, handled={"a": [0, 0]}, **{NAMES[place]: holders})  # type: ignore[arg-type] # as the field wants
    return (not references.picture_is_whole(view, SETTING)) == (0 <= block < len(EMPTY.keys))


def a_picture_has_all_blocks_and_groups(
    counts: int, keys: int, groups: int, handled: int, noted: bool
) -> bool:
    """A picture has a count and a key a block, and a table and a number of handled entries a group [OBS-3, OBS-5].

    pre: 2 <= counts <= 4 and 2 <= keys <= 4 and 1 <= groups <= 3 and 1 <= handled <= 3
    post: __return__
    """
    view = replace(
        EMPTY,
        ref_counts=[0, 0, 0, 0][:counts],
        keys=[*EMPTY.keys, None][:keys],
        tables={"a": [[1], [2], []][:groups]},
        handled={"a": [0, 0, 0][:handled]} if noted else {},
    )
    plain = counts == keys == len(EMPTY.keys) and noted and groups == handled == len(SETTING.groups)
    return (not references.picture_is_whole(view, SETTING)) == plain


def keys_are_for_caching(caching: bool, one: bool, two: bool) -> bool:
    """A block has a key only if caching is on [CFG-2, ALLOC-11].

    post: __return__
    """
    view = replace(EMPTY, keys=[None, b"a" if one else None, b"b" if two else None])
    found = prefix_map.no_content_without_caching(view, replace(SETTING, caching=caching))
    return (not found) == (caching or not (one or two))


LEMMAS = (
    Lemma(only_blocks_of_the_pool_are_named, (references.picture_is_whole,)),
    Lemma(a_picture_has_all_blocks_and_groups, (references.picture_is_whole,)),
    Lemma(keys_are_for_caching, (prefix_map.no_content_without_caching,)),
    Lemma(free_exactly_if_unused, (free_queue.free_iff_unused,)),
    Lemma(counted_as_often_as_used, (references.count_equals_use,)),
    Lemma(the_null_block_is_nothing, (references.null_block_is_nothing,)),
    Lemma(sinks_are_held, (free_queue.reserved_are_held,)),
    Lemma(all_is_free_without_requests, (free_queue.nothing_leaks,)),
    Lemma(usage_is_the_share, (free_queue.usage_is_held_share,)),
    Lemma(map_and_keys_agree, (prefix_map.map_and_blocks_agree,)),
    Lemma(a_block_has_one_place, (tables.one_entry_a_block, tables.one_group_a_block)),
    Lemma(nulls_are_in_front, (tables.nulls_come_first,)),
    Lemma(only_what_was_offered_has_a_key, (tables.handled_within_table,)),
)
