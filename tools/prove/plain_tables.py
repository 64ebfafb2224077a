"""Each invariant of what an operation does to tables finds a fault exactly where a plainer form of it is false."""

from dataclasses import replace

from invariants import GroupSetting, allocation, tables
from invariants.history import Hit
from invariants.step import Action, Append, Free, LookUp, Skip
from spec.attention import AlignedMambaState, FullAttention, MambaState
from spec.units import Blocks, Tokens
from tools.prove.lemma import Lemma
from tools.prove.small import EMPTY, FULL, WINDOW, allocate, finds, known, past, record_of, setting_of

PAIRS = GroupSetting(FullAttention(Tokens(2)))
STATES = GroupSetting(MambaState(Tokens(2), Blocks(1)))
ALIGNED = GroupSetting(AlignedMambaState(Tokens(1)))


def nobody_else_s_table_changes(kind: int, held: int, left: int, gone: bool) -> bool:
    """Whatever is done for `a`, or for nobody, the table of `b` stays [INV-11].

    pre: 0 <= kind <= 4 and 1 <= held <= 2 and 1 <= left <= 2
    post: __return__
    """
    action: Action = (
        Free("a"),
        Skip("a", Tokens(0)),
        allocate(),
        LookUp("a", (), Tokens(0)),
        Append("b", ()),
    )[kind]
    before = replace(EMPTY, tables={"b": [[held], []]})
    after = replace(EMPTY, tables={} if gone else {"b": [[left], []]})
    return finds(tables.tables_only_grow, action, before, after) == (gone or held != left)


def a_skip_nulls_what_a_window_is_past(computed: Tokens, first: int, second: int) -> bool:
    """A skip takes from a window of two tokens the entries before the last computed one, and no others [SKIP-2, INV-11].

    pre: 1 <= computed <= 3 and 0 <= first <= 1 and second in (0, 2)
    post: __return__
    """
    setting = setting_of(WINDOW)
    before, after = (replace(EMPTY, tables={"a": [table]}) for table in ([1, 2], [first, second]))
    plain = first == (0 if computed > 1 else 1) and second == (0 if computed > 2 else 2)
    found = finds(tables.tables_only_grow, Skip("a", computed), before, after, past(setting))
    return found == (not plain)


def nothing_is_left_of_what_is_freed(freed: bool, held: bool, left: bool, block: int) -> bool:
    """A freed request has no tables; a question leaves them as they were [FREE-1, INV-11].

    pre: 1 <= block <= 2
    post: __return__
    """
    before = replace(EMPTY, tables={"a": [[1], []]} if held else {})
    after = replace(EMPTY, tables={"a": [[block], []]} if left else {})
    action: Action = Free("a") if freed else LookUp("a", (), Tokens(0))
    plain = not left if freed else held == left and not (left and block != 1)
    return finds(tables.tables_only_grow, action, before, after) == (not plain)


def what_stands_in_a_table_stays(
    aligned: bool, computed: Tokens, held: int, first: bool, second: bool, third: int
) -> bool:
    """An allocation leaves a table's entries but those that are past; in an aligned one a block may move behind them [INV-11, MAMBA-7].

    pre: 1 <= computed <= 2 and 1 <= held <= 3 and 1 <= third <= 2
    post: __return__
    """
    setting = setting_of(ALIGNED if aligned else WINDOW)
    own = [1 if first else 0, 2 if second else 0, known(third)][: known(held)]
    before, after = replace(EMPTY, tables={"a": [[1, 2]]}), replace(EMPTY, tables={"a": [own]})
    more = own[2:] if aligned else []
    keeps_one = first == (computed == 1) or (not first and more == [1])
    keeps_two = held > 1 and (second or more == [2])
    plain = keeps_one and keeps_two
    action = allocate(computed=computed, new=1, appended=((),))
    return finds(tables.tables_only_grow, action, before, after, past(setting)) == (not plain)


def tables_reach_as_far_as_the_slots(
    drafts: bool, computed: int, hit: int, external: int, new: int, lookahead: int, held: int
) -> bool:
    """Two tokens an entry, a table has room for what is computed and to come, up to 8; for a draft's state an entry more [INV-8].

    pre: 0 <= computed and 0 <= hit and 0 <= external and 0 <= new and 0 <= lookahead and 3 <= held <= 4
    post: __return__
    """
    after = replace(EMPTY, tables={"a": [[1, 1, 1] if held == 3 else [1, 1, 1, 1]]})
    action = allocate(computed=computed, hit=hit, external=external, new=new, lookahead=lookahead)
    room = 2 * (held - 1 if drafts else held)
    plain = room >= 8 or room >= computed + hit + external + new + lookahead
    history = past(setting_of(STATES if drafts else PAIRS))
    return finds(tables.tables_hold_the_slots, action, after=after, history=history) == (not plain)


def a_new_table_starts_with_its_hit(
    window: bool, held: bool, refused: bool, external: int, first: int, second: int
) -> bool:
    """A new table has its hit's blocks in front, those that a window is past as nulls [BIND-4, BIND-6].

    pre: 0 <= external <= 1 and 0 <= first <= 2 and 0 <= second <= 2
    post: __return__
    """
    record = replace(record_of(8), found=Hit(((1, 2),), Tokens(2)))
    before = replace(EMPTY, tables={"a": [[]]} if held else {})
    after = replace(EMPTY, tables={"a": [[first, second]]})
    action = allocate(hit=2, external=external, appended=None if refused else ((),))
    computed = 2 + external
    nulls = computed - 1 if window else 0
    plain = (first == (0 if nulls > 0 else 1)) and (second == (0 if nulls > 1 else 2))
    history = past(setting_of(WINDOW if window else FULL), a=record)
    found = finds(tables.hits_are_bound, action, before, after, history)
    return found == (not held and not refused and not plain)


LEMMAS = (
    Lemma(nobody_else_s_table_changes, (tables.tables_only_grow,)),
    Lemma(a_skip_nulls_what_a_window_is_past, (tables.tables_only_grow, allocation.after_skip)),
    Lemma(nothing_is_left_of_what_is_freed, (tables.tables_only_grow,)),
    Lemma(what_stands_in_a_table_stays, (tables.tables_only_grow,)),
    Lemma(tables_reach_as_far_as_the_slots, (tables.tables_hold_the_slots, allocation.layout)),
    Lemma(a_new_table_starts_with_its_hit, (tables.hits_are_bound, allocation.used_hit)),
)
