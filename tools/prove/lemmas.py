"""Smaller statements about `spec` that CrossHair can confirm over all paths, within small bounds.

CrossHair's functions may answer one question in two ways, so a contract that asks `is_keyed` or `is_cached`
once more would be refuted by a function that is none. Here the answers come from a set.
"""

from collections.abc import Callable

from spec.attention import Attention, FullAttention, MambaState, SlidingWindowAttention
from spec.eviction import release_on_free, split_by_content
from spec.hits import SpecGroup, longest_hit, longest_usable, serves
from spec.retention import Retention, is_kept, is_needed_at, is_useful
from spec.units import NULL_BLOCK, BlockId, Blocks, Tokens
from tools.prove.lemma import Lemma


def content_decides_the_end(first: BlockId, second: BlockId, third: BlockId, keyed: BlockId) -> bool:
    """Blocks with content are queued at the back, scratch blocks at the front, in the order given [SKIP-3].

    post: __return__
    """
    blocks = [first, second, third]
    release = split_by_content(blocks, lambda block: block > keyed)
    scratch, cached = [b for b in blocks if b <= keyed], [b for b in blocks if b > keyed]
    return (list(release.front), list(release.back)) == (scratch, cached)


def a_freed_window_puts_scratch_first(
    first: BlockId, second: BlockId, third: BlockId, keyed: BlockId
) -> bool:
    """A freed window's blocks go tail first, with content to the back and without to the front [FREE-1, FREE-2].

    post: __return__
    """
    table = [first, second, third]
    release = release_on_free(SlidingWindowAttention(Tokens(2)), table, lambda block: block > keyed)
    held = [block for block in (third, second, first) if block != NULL_BLOCK]
    scratch, cached = [b for b in held if b <= keyed], [b for b in held if b > keyed]
    return (list(release.front), list(release.back)) == (scratch, cached)


def _cached(first: bool, second: bool, third: bool) -> Callable[[Blocks], bool]:
    cached = (first, second, third)
    return lambda block: cached[block] if block < len(cached) else False


def full_attention_hits_a_run(num_tokens: Tokens, eagle: bool, one: bool, two: bool, three: bool) -> bool:
    """Full attention hits the blocks in a row from the start, under EAGLE less the last [FULL-1, EAGLE-1].

    pre: 0 <= num_tokens <= 7
    post: __return__
    """
    group = SpecGroup(FullAttention(Tokens(2)), eagle, _cached(one, two, three))
    cached = 0 if not one else 1 if not two else 2 if not three else 3
    usable = min(cached, max(0, num_tokens - 1) // 2)
    return longest_hit([group], num_tokens, Tokens(2)) == 2 * max(0, usable - int(eagle))


def a_window_hits_its_tail(num_tokens: Tokens, one: bool, two: bool, three: bool) -> bool:
    """A window of one block and a token hits where the block before is cached: the last such place [SWA-1, SWA-2].

    pre: 0 <= num_tokens <= 7
    post: __return__
    """
    group = SpecGroup(SlidingWindowAttention(Tokens(2), Tokens(3)), False, _cached(one, two, three))  # noqa: FBT003 - no EAGLE
    ends = [0] + [2 * end for end, last in ((1, one), (2, two), (3, three)) if last]
    return longest_hit([group], num_tokens, Tokens(2)) == max(
        end for end in ends if end <= max(0, num_tokens - 1)
    )


def a_hit_is_served_and_no_longer_one_is(num_tokens: Tokens, one: bool, two: bool, three: bool) -> bool:
    """The longest hit of two groups is served by both, and no longer aligned length is [HIT-7].

    pre: 0 <= num_tokens <= 7
    post: __return__
    """
    cached = _cached(one, two, three)
    groups = [
        SpecGroup(FullAttention(Tokens(2)), False, cached),  # noqa: FBT003 - no EAGLE
        SpecGroup(MambaState(Tokens(2)), False, lambda block: not cached(block)),  # noqa: FBT003 - no EAGLE
    ]
    hit, limit = longest_hit(groups, num_tokens, Tokens(2)), longest_usable(num_tokens)
    served = [
        n for n in (0, 2, 4, 6) if n <= limit and all(serves(group, Tokens(n), limit) for group in groups)
    ]
    return hit == max(served)


def what_is_read_must_be_cached(attention: Attention, length: Tokens, missing: Blocks) -> bool:
    """One missing block rules out exactly the lengths that read it [HIT-7].

    pre: attention.block_size == 2 and 0 <= length <= 6 and length % 2 == 0
    post: __return__
    """
    group = SpecGroup(attention, False, lambda block: block != missing)  # noqa: FBT003 - no EAGLE
    return serves(group, length, length) == (length == 0 or missing not in attention.blocks_read(length))


def kept_is_useful(window: Tokens, interval: Tokens, block: Blocks, prompt: Tokens, eagle: bool) -> bool:
    """What a window keeps is needed by a wanted length, but for block 0 under EAGLE [SWA-7, Q-40].

    pre: 1 <= window <= 3 and interval in (0, 4) and 0 <= block <= 2 and prompt in (0, 3)
    post: __return__
    """
    attention = SlidingWindowAttention(Tokens(1), window)
    retention = Retention(Tokens(2), interval)
    if not is_kept(attention, retention, eagle=eagle, block=block, prompt_tokens=prompt):
        return True
    wanted = [Tokens(n) for n in range(0, 14, 2) if retention.wants(Tokens(n), prompt)]
    useful = any(is_needed_at(attention, eagle=eagle, block=block, length=n) for n in wanted)
    return useful or (eagle and block == 0)


def useful_is_kept(window: Tokens, interval: Tokens, block: Blocks, prompt: Tokens, eagle: bool) -> bool:
    """A block is useful exactly if a wanted length needs it, and then a window keeps it [RETAIN-3, SWA-7].

    pre: 1 <= window <= 3 and interval in (0, 4) and 0 <= block <= 2 and prompt in (0, 3)
    post: __return__
    """
    attention = SlidingWindowAttention(Tokens(1), window)
    retention = Retention(Tokens(2), interval)
    useful = is_useful(
        attention, retention, eagle=eagle, block=block, prompt_tokens=prompt, horizon=Tokens(12)
    )
    wanted = [n for n in (4, 8, 12) if interval] + ([2] if prompt else [])
    plain = any(n - window + 1 <= block < n + int(eagle) for n in wanted)
    kept = is_kept(attention, retention, eagle=eagle, block=block, prompt_tokens=prompt)
    return useful == plain and (kept or not useful)


def eagle_asks_for_the_block_behind(
    attention: Attention, length: Tokens, limit: Tokens, missing: Blocks
) -> bool:
    """Under EAGLE the block behind a hit is cached and usable, too, but for a state [EAGLE-1, EAGLE-2, Q-1].

    pre: attention.block_size == 2 and 0 <= length <= limit <= 7 and length % 2 == 0
    post: __return__
    """
    group = SpecGroup(attention, True, lambda block: block != missing)  # noqa: FBT003 - EAGLE
    behind = isinstance(attention, MambaState) or (length + 2 <= limit and missing != length // 2)
    served = missing not in attention.blocks_read(length) and behind
    return serves(group, length, limit) == (length == 0 or served)


LEMMAS = (
    Lemma(content_decides_the_end, (split_by_content,)),
    Lemma(a_freed_window_puts_scratch_first, (release_on_free,)),
    Lemma(full_attention_hits_a_run, (longest_hit,)),
    Lemma(a_window_hits_its_tail, (longest_hit,)),
    Lemma(a_hit_is_served_and_no_longer_one_is, (longest_hit,)),
    Lemma(what_is_read_must_be_cached, (serves,)),
    Lemma(eagle_asks_for_the_block_behind, (serves,)),
    Lemma(kept_is_useful, (is_kept,)),
    Lemma(useful_is_kept, (is_useful,)),
)
