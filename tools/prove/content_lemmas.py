"""Smaller statements about contents, keys and releases that CrossHair can confirm over all paths.

The contracts speak of sequences of any length, which have no last path. Here they have the few members
that show what the rule says; what stands in them is left open.
"""

from invariants.history import RequestRecord, spans_in_key
from spec.attention import AlignedMambaState, Attention, MambaState, SlidingWindowAttention
from spec.content import (
    GROUP_ID_BYTES,
    Extras,
    Span,
    chain,
    coarse_hash,
    event_hash,
    extras_of,
    group_key,
    group_of,
    hash_of,
)
from spec.eviction import Release, queue_after, release_on_free, skipped_entries
from spec.units import NULL_BLOCK, BlockHash, BlockId, GroupId, Tokens
from tools.prove.lemma import Lemma


def full_blocks_are_chained(one: int, two: int, three: int, size: Tokens) -> bool:
    """Three tokens make the blocks that they fill, each behind the one before [HASH-1, HASH-8].

    pre: 1 <= size <= 4
    post: __return__
    """
    tokens = [one, two, three]
    filled: tuple[list[tuple[int, ...]], ...] = (
        [(one,), (two,), (three,)],
        [(one, two)],
        [(one, two, three)],
        [],
    )
    blocks = filled[size - 1]
    extras = [Extras(adapter=str(index)) for index in range(len(blocks))]
    contents = chain(tokens, size, extras)
    parent = None
    for content, block, own in zip(contents, blocks, extras, strict=True):
        if (content.parent, content.tokens, content.extras) != (parent, block, own):
            return False
        parent = content
    return True


def coarse_hashes_are_joined(index: int, times: int) -> bool:
    """The hash of a block of one or two fine ones is theirs, joined [HASH-10].

    pre: 0 <= index and 1 <= times <= 2 and (index + 1) * times <= 4
    post: __return__
    """
    fine = [BlockHash(name) for name in (b"a", b"bc", b"", b"d")]
    wanted = (b"a", b"bc", b"", b"d")[index] if times == 1 else (b"abc", b"d")[index]
    return coarse_hash(fine, index, times) == wanted


def events_name_the_last_bytes(first: int, second: int) -> bool:
    """Of a hash of nine bytes the first is not seen, the last counts one [HASH-11].

    pre: 0 <= first < 256 and 0 <= second < 256
    post: __return__
    """
    return event_hash(BlockHash(bytes([first, 0, 0, 0, 0, 0, 0, second, 1]))) == second * 256 + 1


def keys_take_apart(group: GroupId) -> bool:
    """A key is a hash and a group, and gives both back [HASH-9].

    pre: 0 <= group < 4
    post: __return__
    """
    key = group_key(BlockHash(b"h"), group)
    return hash_of(key) == b"h" and group_of(key) == group and len(key) == 1 + GROUP_ID_BYTES


def extras_are_the_overlapping(start: Tokens, offset: Tokens, length: Tokens, other: Tokens) -> bool:
    """Of two items those that overlap the block are its extras, by their distance from its start [HASH-4, HASH-5].

    pre: 0 <= start and 0 <= offset and 0 <= length and 0 <= other
    post: __return__
    """
    end = Tokens(start + 2)
    spans = [Span("a", offset, length), Span("b", other, Tokens(1))]
    wanted = []
    if length > 0 and offset < end and start < offset + length:
        wanted.append(("a", offset - start))
    if start <= other < end:
        wanted.append(("b", other - start))
    extras = extras_of(start, end, spans, adapter="l", salt="s")
    return list(extras.spans) == wanted and extras.salt == ("s" if start == 0 else None)


def queued_at_both_ends(front: BlockId, back: BlockId, first: bool, last: bool) -> bool:
    """Of what is released, the unused goes before and behind what is queued [POOL-7].

    pre: front > 9 and back > front
    post: __return__
    """
    unused = {block for block, is_unused in ((front, first), (back, last)) if is_unused}
    queue = queue_after([BlockId(1), BlockId(2)], Release((front,), (back,)), unused)
    return queue == [*([front] if first else []), 1, 2, *([back] if last else [])]


def freed_tail_first(attention: Attention, first: BlockId, second: BlockId, third: BlockId) -> bool:
    """What is no window is released tail first, to the back, without its nulls [FREE-1].

    post: __return__
    """
    if isinstance(attention, SlidingWindowAttention):
        return True
    release = release_on_free(attention, [first, second, third], lambda block: block > 0)
    return (release.front, list(release.back)) == ((), [b for b in (third, second, first) if b != NULL_BLOCK])


def skipped_are_past_and_held(
    attention: Attention, one: bool, two: bool, three: bool, computed: Tokens
) -> bool:
    """Past entries are released as far as none is null, and in an aligned table those behind a null, too [SKIP-1, SKIP-2].

    pre: attention.block_size == 2 and 0 <= computed
    pre: getattr(attention, "window", 2) == 2 and getattr(attention, "chunk", 4) == 4
    post: __return__
    """
    table = [BlockId(int(held)) for held in (one, two, three)]
    settled = attention.settled_tokens(computed) if isinstance(attention, MambaState) else computed
    past = min(3, attention.skipped_blocks(settled))
    skip = skipped_entries(attention, table, computed)
    held = [index for index in range(past - 1, -1, -1) if table[index]]
    if isinstance(attention, AlignedMambaState):
        return [*skip.window, *skip.states] == held
    run = []
    for index in range(past - 1, -1, -1):
        if not table[index]:
            break
        run.append(index)
    return (list(skip.window), skip.states) == (run, ())


def _items(first: Tokens, length: Tokens, second: Tokens) -> list[Span]:
    return [Span("a", first, length), Span("b", second, Tokens(1))]


def a_resumed_chain_sees_the_last_item(
    start: Tokens, first: Tokens, length: Tokens, second: Tokens, resumed: bool
) -> bool:
    """Of two items in order a key shows those that overlap, or `resumed` at most the last [HASH-5, Q-10].

    pre: 0 <= start and 0 <= first and 0 < length and first + length <= second
    post: __return__
    """
    end = Tokens(start + 2)
    wanted = []
    if not resumed and first < end and start < first + length:
        wanted.append(("a", first - start))
    if start <= second < end:
        wanted.append(("b", second - start))
    return list(spans_in_key(_items(first, length, second), start, end, resumed=resumed)) == wanted


def a_record_tells_its_extras(start: Tokens, has_adapter: bool, salted: bool, embedded: bool) -> bool:
    """A record's extras are its adapter, its salt in the first block and its rows, which a key shows in a row [HASH-4].

    pre: 0 <= start <= 2
    post: __return__
    """
    rows = (b"0", b"1", b"2", b"3") if embedded else None
    record = RequestRecord(
        [], "l" if has_adapter else None, "s" if salted else None, [], rows, reads_cache=True
    )
    end = Tokens(start + 2)
    extras = record.extras(start, end)
    adapter = "l" if has_adapter else None
    salt = "s" if salted and start == 0 else None
    given = (b"01", b"12", b"23")[start] if embedded else None
    shown = [one for one in (adapter, salt, given) if one is not None]
    told = list(record.format_extras(start, end, resumed=False))
    return extras == Extras(adapter, salt, (), given) and told == shown


LEMMAS = (
    Lemma(full_blocks_are_chained, (chain,)),
    Lemma(coarse_hashes_are_joined, (coarse_hash,)),
    Lemma(events_name_the_last_bytes, (event_hash,)),
    Lemma(keys_take_apart, (group_key, hash_of, group_of)),
    Lemma(extras_are_the_overlapping, (extras_of,)),
    Lemma(a_resumed_chain_sees_the_last_item, (spans_in_key,)),
    Lemma(a_record_tells_its_extras, (RequestRecord.extras, RequestRecord.format_extras)),
    Lemma(queued_at_both_ends, (queue_after,)),
    Lemma(freed_tail_first, (release_on_free,)),
    Lemma(skipped_are_past_and_held, (skipped_entries,)),
)
