"""Each invariant of what an operation does to keys and to the map finds a fault exactly where a plainer form of it is false."""

from dataclasses import replace

from invariants import GroupSetting, allocation, content, prefix_map
from invariants.history import Identity
from invariants.step import Action, Append, Cache, Evict, Reset
from spec.attention import FullAttention
from spec.units import Tokens
from tools.prove.lemma import Lemma
from tools.prove.small import EMPTY, FULL, allocate, finds, known, past, record_of, setting_of

PAIR = GroupSetting(FullAttention(Tokens(2)))
KEYS = (None, b"a", b"b")
HELD = {"a": [[1]]}


def a_block_gets_its_key_when_its_tokens_are_computed(
    cached: Tokens, tokens: int, first: bool, second: bool
) -> bool:
    """A block of two tokens gets a key if both are known and said to be computed; one in no table gets none [ALLOC-16].

    pre: 1 <= cached <= 3 and 1 <= tokens <= 3
    post: __return__
    """
    history = past(setting_of(PAIR), a=record_of(tokens))
    before = replace(EMPTY, tables=HELD)
    after = replace(before, keys=[None, b"a" if first else None, b"b" if second else None])
    wrong = second or (first and (cached < 2 or tokens < 2))
    return finds(content.cached_blocks_are_full, Cache("a", cached), before, after, history) == wrong


def an_allocation_caches_what_it_computes(
    computed: int, new: int, tokens: int, delay: bool, refused: bool, other: bool
) -> bool:
    """An allocation gives keys up to the tokens that are known and that it computes, and none delayed or refused [ALLOC-12, MGR-4].

    pre: 0 <= computed and 0 <= new and 1 <= tokens <= 2
    post: __return__
    """
    history = past(setting_of(PAIR), a=record_of(tokens))
    before = replace(EMPTY, tables=HELD)
    after = replace(before, keys=[None, b"a", None])
    asked = allocate(computed=computed, new=new, delay=delay, appended=None if refused else ((),))
    action: Action = Append("a", ()) if other else asked
    may = not (delay or refused or other) and min(computed, 8) + new >= 2 and tokens == 2
    return finds(content.cached_blocks_are_full, action, before, after, history) == (not may)


def an_unknown_request_caches_nothing(by_hand: bool, keyed: bool) -> bool:
    """Nothing of a request of which no token is known gets a key [ALLOC-12, ALLOC-16].

    post: __return__
    """
    before = replace(EMPTY, tables=HELD)
    after = replace(before, keys=[None, b"a" if keyed else None, None])
    action: Action = Cache("a", Tokens(1)) if by_hand else allocate(new=1, appended=((),))
    return finds(content.cached_blocks_are_full, action, before, after, past(setting_of(FULL))) == keyed


def two_keys_name_two_contents(one: int, two: int, alike: bool, seen_alike: bool) -> bool:
    """Two blocks that get one key have, or show, one content, and two that have and show one content get one key [HASH-1].

    pre: 1 <= one <= 2 and 1 <= two <= 2
    post: __return__
    """
    record = record_of(2, [0, 0 if alike else 1], [0, 0 if seen_alike else 1])
    before = replace(EMPTY, tables={"a": [[1, 2]]})
    after = replace(before, keys=[None, KEYS[one], KEYS[two]])
    plain = (alike or seen_alike) if one == two else not (alike and seen_alike)
    history = past(setting_of(FULL), a=record)
    return finds(content.key_names_content, Cache("a", Tokens(2)), before, after, history) == (not plain)


def a_key_names_what_it_named_before(
    other_group: bool, owned: bool, keyed: bool, content_of: int, shown: int
) -> bool:
    """A key that was given before is given to such a content only, and a content that had a key gets no other [HASH-1, HASH-9].

    pre: 0 <= content_of <= 1 and 0 <= shown <= 1
    post: __return__
    """
    history = past(setting_of(FULL, FULL), a=record_of(1, [0], [0]))
    own, group = Identity(0, 0, 0), 1 if other_group else 0
    if owned:
        history.owners[b"a"] = Identity(group, content_of, shown)
    if keyed:
        history.keys[Identity(group, content_of, shown)] = b"b"
    before = replace(EMPTY, tables={"a": [[1], []]})
    after = replace(before, keys=[None, b"a", None])
    same = not other_group and content_of == own.content and shown == own.format
    alike = not other_group and (content_of == own.content or shown == own.format)
    wrong = (owned and not alike) or (keyed and same)
    return finds(content.key_names_content, Cache("a", Tokens(1)), before, after, history) == wrong


def who_shares_a_block_has_one_content(
    block: int, theirs: int, group: int, full: bool, content_of: int, shown: int
) -> bool:
    """If `a` gets a block of `b`, both have, or show, one content there, and in one group [INV-5].

    pre: 0 <= block <= 1 and 0 <= theirs <= 2 and 0 <= group <= 1
    post: __return__
    """
    setting = setting_of(FULL, FULL)
    history = past(setting, a=record_of(1, [5], [6]), b=record_of(1 if full else 0, [content_of], [shown]))
    other = [[theirs], []] if group == 0 else [[], [theirs]]
    counts = [0, (block == 1) + (theirs == 1), int(theirs == 2)]
    before = replace(EMPTY, tables={"b": other})
    after = replace(before, tables={"b": other, "a": [[block], []]}, ref_counts=counts)
    agree = full and group == 0 and (content_of == 5 or shown == 6)
    found = finds(content.shared_blocks_agree, allocate(), before, after, history)
    return found == (block == theirs == 1 and not agree)


LISTS: tuple[list[int], ...] = ([1], [2], [1, 2], [2, 1])


def who_stays_keeps_their_place(old: int, new: int, taken: bool, other: bool) -> bool:
    """Of the blocks under a key those that stay stand in their order, before those that come: taken ones come anew [MAP-1 to MAP-4].

    pre: 0 <= old <= 3 and 0 <= new <= 3
    post: __return__
    """
    before = replace(EMPTY, free_queue=[1], prefix_map=[(b"b" if other else b"a", LISTS[old])])
    after = replace(EMPTY, free_queue=[] if taken else [1], prefix_map=[(b"a", LISTS[new])])
    stay = [block for block in LISTS[old] if block == 2 or not taken]
    wrong = not other and any(
        block in stay and (before_it not in stay or stay.index(before_it) > stay.index(block))
        for place, block in enumerate(LISTS[new])
        for before_it in LISTS[new][:place]
    )
    action = allocate(appended=((1,),))
    return finds(prefix_map.duplicates_in_order, action, before, after, past(setting_of(FULL))) == wrong


def a_key_goes_with_a_reason(kind: int, named: int, old: int, new: int) -> bool:
    """A block loses its key if it is evicted, reset or taken, and not else; what is evicted or reset has none [POOL-4, POOL-5].

    pre: 0 <= kind <= 4 and 1 <= named <= 2 and 0 <= old <= 2 and 0 <= new <= 2
    post: __return__
    """
    action: Action = (
        Evict((known(named),)),
        Reset(done=True),
        Reset(done=False),
        allocate(appended=((named,),)),
        Append("a", ()),
    )[kind]
    takes = kind == 3
    before = replace(EMPTY, keys=[None, KEYS[old], None], free_queue=[named])
    after = replace(EMPTY, keys=[None, KEYS[new], None], free_queue=[] if takes else [named])
    forgets = (kind == 0 and named == 1) or kind == 1
    may = forgets or (takes and named == 1)
    wrong = (forgets and new > 0) or (not may and old > 0 and old != new)
    return finds(prefix_map.content_outlives_use, action, before, after, past(setting_of(FULL))) == wrong


def a_reset_is_done_if_all_is_free(free: int, done: bool) -> bool:
    """A reset is done if both blocks are free, and only then [RESET-1].

    pre: 0 <= free <= 2
    post: __return__
    """
    before = replace(EMPTY, free_queue=([], [2], [2, 1])[free])
    return finds(prefix_map.reset_only_unused, Reset(done), before) == (done != (free == 2))


LEMMAS = (
    Lemma(a_block_gets_its_key_when_its_tokens_are_computed, (content.cached_blocks_are_full,)),
    Lemma(an_allocation_caches_what_it_computes, (content.cached_blocks_are_full,)),
    Lemma(an_unknown_request_caches_nothing, (content.cached_blocks_are_full,)),
    Lemma(two_keys_name_two_contents, (content.key_names_content, content.newly_keyed)),
    Lemma(a_key_names_what_it_named_before, (content.key_names_content,)),
    Lemma(who_shares_a_block_has_one_content, (content.shared_blocks_agree,)),
    Lemma(who_stays_keeps_their_place, (prefix_map.duplicates_in_order, allocation.taken_blocks)),
    Lemma(a_key_goes_with_a_reason, (prefix_map.content_outlives_use,)),
    Lemma(a_reset_is_done_if_all_is_free, (prefix_map.reset_only_unused,)),
)
