"""Each invariant of a lookup finds a fault exactly where a plainer form of it is false."""

from dataclasses import replace

from invariants import GroupSetting, hits
from invariants.history import Hit, Identity
from invariants.step import BlocksByGroup, LookUp
from spec.attention import ChunkedLocalAttention, FullAttention, MambaState, SlidingWindowAttention
from spec.units import Tokens
from tools.prove.lemma import Lemma
from tools.prove.small import EMPTY, FULL, SETTING, WINDOW, allocate, finds, past, record_of, setting_of

PAIRS = GroupSetting(SlidingWindowAttention(Tokens(2), Tokens(2)))
DRAFTED = GroupSetting(FullAttention(Tokens(2)), eagle=True)
STATES = GroupSetting(MambaState(Tokens(2)), eagle=True)
KEYS = [None, b"a", b"b"]


def looked_up(blocks: BlocksByGroup, length: int) -> LookUp:
    """A lookup for `a` that answers so."""
    return LookUp("a", blocks, Tokens(length))


def a_hit_is_aligned_and_leaves_a_token(length: int, alignment: Tokens, tokens: int) -> bool:
    """A hit is so many alignments long, and shorter than its request unless it is empty [INV-9, HIT-10].

    pre: -1 <= length <= 5 and 1 <= alignment <= 3 and 2 <= tokens <= 4
    post: __return__
    """
    history = past(replace(SETTING, hit_alignment=alignment), a=record_of(tokens))
    plain = any(length == times * alignment and (times == 0 or length < tokens) for times in range(4))
    return finds(hits.hit_length, looked_up((), length), history=history) == (not plain)


def a_hit_is_as_long_in_every_group(length: int, groups: int, one: int, two: int) -> bool:
    """Blocks of one token are as many as the hit's tokens, blocks of two half as many [INV-9].

    pre: 0 <= length <= 3 and 1 <= groups <= 3 and 0 <= one <= 2 and 0 <= two <= 1
    post: __return__
    """
    every: BlocksByGroup = (((), (1,), (1, 2))[one], ((), (1,))[two], ())
    blocks = (every[:1], every[:2], every)[groups - 1]
    history = past(setting_of(FULL, PAIRS), a=record_of(9))
    plain = groups == 2 and one == length and two + two == length
    return finds(hits.hit_covers_every_group, looked_up(blocks, length), history=history) == (not plain)


def what_is_read_behind_a_hit_is_there(kind: int, held: int, one: bool, two: bool, three: bool) -> bool:
    """No null is in a hit's last blocks: all, a window's one, those of a chunk, or a state [HIT-7].

    pre: 0 <= kind <= 3 and 0 <= held <= 3
    post: __return__
    """
    group = (
        FULL,
        WINDOW,
        GroupSetting(ChunkedLocalAttention(Tokens(1), Tokens(2))),
        GroupSetting(MambaState(Tokens(1))),
    )[kind]
    last = (held, min(held, 1), held % 2, min(held, 1))[kind]
    there = (one, two, three)
    blocks = tuple(int(each) for each in there[:held])
    plain = all(there[index] for index in range(held) if index >= held - last)
    found = finds(hits.hit_reads_no_null, looked_up((blocks,), held), history=past(setting_of(group)))
    return found == (not plain)


def a_hit_block_holds_what_it_is_hit_for(
    block: int, keyed: bool, given: bool, tokens: int, group: int, content: int, shown: int
) -> bool:
    """A block that is hit was given, in its group, the content of that place, or one that looks like it [POOL-3, HASH-1].

    pre: -1 <= block <= 3 and 0 <= tokens <= 1 and 0 <= group <= 1
    post: __return__
    """
    history = past(SETTING, a=record_of(tokens, [7], [8]))
    if given:
        history.owners[b"a"] = Identity(group, content, shown)
    after = replace(EMPTY, keys=[None, b"a" if keyed else None, None])
    plain = block == 1 and keyed and given and tokens > 0 and group == 0 and (content == 7 or shown == 8)
    found = finds(hits.hit_holds_its_content, looked_up(((block,), ()), 1), after=after, history=history)
    return found == (block != 0 and not plain)


def nobody_stands_before_what_is_hit(first: int, second: int, block: int, length: int, two: bool) -> bool:
    """A block is hit if it is the first that the map lists under its key, or lists under none [MAP-2].

    pre: 1 <= first <= 2 and 1 <= second <= 2 and 0 <= block <= 2 and 0 <= length <= 1
    post: __return__
    """
    listed = [first] if first == second else [first, second]
    holders = [(b"a", listed), (b"b", [])]
    keys = [None, *(b"a" if one in listed else None for one in (1, 2))]
    after = replace(EMPTY, keys=keys, prefix_map=holders)
    blocks = ((), (block,)) if two else ((block,), ())
    younger = length > 0 and block in listed[1:]
    return finds(hits.oldest_is_hit, looked_up(blocks, length), after=after) == younger


def equal_groups_miss_the_same(
    one: int, two: int, three: int, first: bool, second: bool, third: bool
) -> bool:
    """Of two groups with an equal spec both hit a block at a place, or neither [HIT-2, POOL-3].

    pre: one == 0 and 0 <= two <= 1 and 0 <= three <= 1
    post: __return__
    """
    groups = [replace(FULL, spec=spec) for spec in (one, two, three)]
    held = (first, second, third)
    blocks = tuple((1, int(each)) for each in held)
    specs = (one, two, three)
    plain = all(held[g] == held[h] for g, h in ((0, 1), (0, 2), (1, 2)) if specs[g] == specs[h])
    found = finds(hits.equal_specs_hit_alike, looked_up(blocks, 2), history=past(setting_of(*groups)))
    return found == (not plain)


def a_draft_head_finds_the_block_behind(
    state: bool, length: int, tokens: int, holds: int, shown: int
) -> bool:
    """Under EAGLE the block behind a hit ends before the last token, and is in the map, but for a state [EAGLE-1, EAGLE-2].

    pre: length in (0, 2) and 3 <= tokens <= 6
    post: __return__
    """
    own = replace(SETTING, groups=(STATES if state else DRAFTED,), hash_block_size=Tokens(2))
    history = past(own, a=record_of(tokens, range(tokens // 2), range(9, 9 + tokens // 2)))
    history.owners[b"a"] = Identity(0, holds, shown)
    after = replace(EMPTY, prefix_map=[(b"b", [2]), (b"a", [1])])
    behind = tokens > 4 and (holds == 1 or shown == 10)
    found = finds(hits.eagle_has_its_block, looked_up(((), ()), length), after=after, history=history)
    return found == (length > 0 and not state and not behind)


def who_does_not_ask_hits_nothing(caching: bool, reads: bool, length: int, block: int) -> bool:
    """There is a hit only if caching is on and the request reads the cache [HIT-8].

    pre: 0 <= length <= 1 and 0 <= block <= 1
    post: __return__
    """
    history = past(replace(SETTING, caching=caching), a=replace(record_of(2), reads_cache=reads))
    blocks: BlocksByGroup = ((1,) if block else (), ())
    plain = (caching and reads) or (length == 0 and block == 0)
    return finds(hits.no_hit_unasked, looked_up(blocks, length), history=history) == (not plain)


def a_state_to_come_admits_nobody(
    state: bool, refused: bool, asked: bool, held: bool, last: int, due: bool
) -> bool:
    """An allocation does not start from a state that this step computes [MAMBA-3, MAMBA-4].

    pre: 0 <= last <= 2
    post: __return__
    """
    record = replace(record_of(4), found=Hit(((2, last), ()), Tokens(2)))
    history = past(setting_of(GroupSetting(MambaState(Tokens(1))) if state else FULL, FULL), a=record)
    before = replace(
        EMPTY, keys=KEYS, tables={"a": [[], []]} if held else {}, step_keys=[b"c", b"a"] if due else []
    )
    action = allocate(hit=2 if asked else None, appended=None if refused else ((), ()))
    starts = state and asked and not refused and not held and last == 1
    return finds(hits.hit_state_is_computed, action, before, history=history) == (starts and due)


LEMMAS = (
    Lemma(a_hit_is_aligned_and_leaves_a_token, (hits.hit_length,)),
    Lemma(a_hit_is_as_long_in_every_group, (hits.hit_covers_every_group,)),
    Lemma(what_is_read_behind_a_hit_is_there, (hits.hit_reads_no_null,)),
    Lemma(a_hit_block_holds_what_it_is_hit_for, (hits.hit_holds_its_content,)),
    Lemma(nobody_stands_before_what_is_hit, (hits.oldest_is_hit,)),
    Lemma(equal_groups_miss_the_same, (hits.equal_specs_hit_alike,)),
    Lemma(a_draft_head_finds_the_block_behind, (hits.eagle_has_its_block,)),
    Lemma(who_does_not_ask_hits_nothing, (hits.no_hit_unasked,)),
    Lemma(a_state_to_come_admits_nobody, (hits.hit_state_is_computed,)),
)
