"""Why a mutant that lives cannot be told from the manager."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Equivalent:
    """Mutants of a line: `before` and `after` are patterns that the whole line must fit."""

    module: str
    before: str
    after: str
    why: str


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent(
        "reference/groups.py",
        r"return SinkAttention\(size, Tokens\(spec\.sink_len or 0\)\)",
        r".*",
        "a sink always has a length: the configuration refuses one without",
    ),
    Equivalent(
        "reference/groups.py",
        r"kind = AlignedMambaState if .*",
        r".* is \"align\" .*",
        "CPython has one object for each small integer and each interned string, so `is` compares like `==`",
    ),
    Equivalent(
        "reference/groups.py",
        r"kind = AlignedMambaState if .*",
        r".* <= \"align\" .*",
        "of the modes, align sorts first, so that only it is at most align",
    ),
    Equivalent(
        "reference/groups.py",
        r"handled: Blocks = Blocks\(0\)",
        r".*",
        "every table is made with a number of handled blocks",
    ),
    Equivalent(
        "reference/groups.py",
        r"grown: bool = False",
        r".*",
        "a new table is planned with grown_before False, and grows at once: its flag is True before anybody asks",
    ),
    Equivalent(
        "reference/groups.py",
        r"@dataclass\(frozen=True\)",
        r".*",
        "nobody changes a plan",
    ),
    Equivalent(
        "reference/groups.py",
        r"evictable = sum\(1 for b .*",
        r".*ref_cnt <= 0.*",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/groups.py",
        r"parent_block_hash=.* if first > 0 else None,",
        r".*first != 0.*",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/groups.py",
        r"if \(index \+ 1\) \* fine_blocks > len\(request\.block_hashes\):",
        r".*",
        "behind the hashes a coarse hash joins nothing or a part, which no block has as its key; nobody asks there but for a mistaken hit",
    ),
    Equivalent(
        "reference/groups.py",
        r"shared = \[block\.ref_cnt == .*",
        r".*ref_cnt >= .*",
        "a request holds a block once in a group: no block has more users than there are tables",
    ),
    Equivalent(
        "reference/groups.py",
        r"shared = \[block\.ref_cnt == .*",
        r".*ref_cnt is .*",
        "CPython has one object for each small integer and each interned string, so `is` compares like `==`",
    ),
    Equivalent(
        "reference/manager.py",
        r".*preempted=request\.num_preemptions > 0\)",
        r".*!= 0\)",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/manager.py",
        r"members\[0\]\.(attention|eagle),",
        r".*",
        "groups with one spec have one attention, and share the EAGLE bit [CFG-6]",
    ),
    Equivalent(
        "reference/manager.py",
        r".*strict=True\).*",
        r".*strict=False\).*",
        "the lists were checked to be as many as the groups before",
    ),
    Equivalent(
        "reference/manager.py",
        r"if new == 0 and external == 0:",
        r".*<= 0.*",
        "a count is never negative here, so the two comparisons agree: it was checked before",
    ),
    Equivalent(
        "reference/manager.py",
        r"if len\(found\) != len\(self\.groups\):",
        r".*is not.*",
        "CPython has one object for each small integer and each interned string, so `is` compares like `==`",
    ),
    Equivalent(
        "reference/manager.py",
        r"if \(any\(found\) or external > 0\).*",
        r".*external != 0.*",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/pool.py",
        r"\*,",
        r"/,",
        "the pool's one caller names these arguments",
    ),
    Equivalent(
        "reference/pool.py",
        r"if block\.ref_cnt == 0:",
        r".*<= 0:",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/pool.py",
        r"return \[block_id for block_id in block_ids if .* == 0\]",
        r".*<= 0\]",
        "a count is never negative here, so the two comparisons agree",
    ),
    Equivalent(
        "reference/pool.py",
        r"if self\.num_free != len\(self\.blocks\) - 1:",
        r".* < .*",
        "no more blocks are free than there are",
    ),
    Equivalent(
        "reference/pool.py",
        r"continue",
        r"break",
        "binding cuts all nulls in front of what is held, so that none is met [BIND-4]",
    ),
    Equivalent(
        "optimized/allocation.py",
        r"self\._telling: Final = \[groups\[own\[0\]\] .*",
        r".*",
        "tables of groups with one spec have one shape: any of them tells",
    ),
    Equivalent(
        "optimized/allocation.py",
        r"full_tokens = 0",
        r"full_tokens = -?1",
        "nothing is cached of less than a block, and a block of one token is cached with its step",
    ),
    Equivalent(
        "optimized/allocation.py",
        r"if full_tokens >= tables\.caches_at:",
        r".*(is not|!=).*",
        "caching less than what is due caches nothing",
    ),
    Equivalent(
        "optimized/allocation.py",
        r"if max\(slots, main\) > tables\.grows_behind or encoder:",
        r".*!=.*",
        "where nothing grows the long way takes nothing",
    ),
    Equivalent(
        "optimized/caching.py",
        r"is_one = end == start \+ 1 .*",
        r".*(is start|start \| 1).*",
        "the short cut for one block is taken less often, or as before: the long way caches the same",
    ),
    Equivalent(
        "optimized/caching.py",
        r"elif group\.has_gaps or tables\.released\[g\] > start:",
        r".*is not start:",
        "looking for nulls where there are none finds none",
    ),
    Equivalent(
        "optimized/caching.py",
        r"runs = pool\.maps\[g\]\.runs if kept is None else None",
        r".*is not None else None",
        "without runs lookups go one by one, and find the same; a run that nulls are in vouches for nothing",
    ),
    Equivalent(
        "optimized/caching.py",
        r"(first = start \+ younger|before = hashes\[.*)",
        r".*",
        "a run begins anew where it could go on, or is not begun: lookups go one by one, and find the same",
    ),
    Equivalent(
        "optimized/free_queue.py",
        r"SHORT: Final = 32",
        r".*",
        "how long short stretches get decides no order",
    ),
    Equivalent(
        "optimized/free_queue.py",
        r"if 0 < len\(last\.blocks\) < SHORT:",
        r".*",
        "blocks join the last stretch, or are one of their own: the order is the same",
    ),
    Equivalent(
        "optimized/free_queue.py",
        r"self\._ends: Final = Stretch\(\[\], 0\)",
        r".*",
        "nobody asks how many users the ring's end has",
    ),
    Equivalent(
        "optimized/free_queue.py",
        r"if count == 1 and first is not None and len\(first\.blocks\) > 1:",
        r".*> 0:",
        "an empty stretch stays in the ring, and is passed over",
    ),
    Equivalent(
        "optimized/free_queue.py",
        r"while stretch is not None and stretch is not self\._ends:",
        r".*!= self\._ends:",
        "stretches are equal if they are one object",
    ),
    Equivalent(
        "optimized/groups.py",
        r"self\.has_gaps: Final = .*",
        r".* is \"align\"",
        "CPython has one object for each small integer and each interned string, so `is` compares like `==`",
    ),
    Equivalent(
        "optimized/groups.py",
        r"self\.drafts: Final = .* else 0",
        r".* else -?1",
        "only recurrent groups ask for drafts",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return length \* self\.block_size",
        r"return length & .*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"end = \(handled \+ 1\) \* self\.block_size",
        r".*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return -\(-end // unit\) \* unit",
        r".*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return max\(end, unit, .*",
        r".*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return \(released \+ 1\) \* self\.block_size \+ self\._past",
        r".*(& 1|// 1|\) - |\|).*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"",
        r"class SlidingGroup\(Group\):",
        "`final` is for the type checker",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return \(released \+ 1\) \* self\.block_size \+ 1 \+ self\.drafts",
        r"return \(released (/ 1|\* 1|\*\* 1|\+ 0|// 1|>> 1|& 1|% 1)\) .*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
    Equivalent(
        "optimized/lookup.py",
        r"return (reached if reached|high if high) < end else -1",
        r".* else (- ?2|~1)",
        "any number below 0 says that nothing is missing",
    ),
    Equivalent(
        "optimized/retention.py",
        r"boundary = max\(shift, .*",
        r".*\*\* segment\) \+ segment",
        "the search begins at the first boundary, and what lies before the start is passed over",
    ),
    Equivalent(
        "optimized/runs.py",
        r"if run is None or end > run\.start \+ .*",
        r".*run\.start & .*",
        "the runs vouch for less: lookups go one by one, and find the same",
    ),
    Equivalent(
        "optimized/stretches.py",
        r"if blocks\[at : at \+ size\] != stretch\.blocks:",
        r".* is not stretch\.blocks:",
        "a stretch is cut at its end: the empty one is passed over",
    ),
    Equivalent(
        "optimized/tables.py",
        r"",
        r"class Start:",
        "`final` is for the type checker",
    ),
    Equivalent(
        "optimized/tables.py",
        r"if end == first \+ 1 and end <= .*",
        r".* end == tables\.handled.*",
        "the short cut for one entry is taken less often: the long way releases the same",
    ),
    Equivalent(
        "optimized/groups.py",
        r"return -\(-\(released \+ 1\) \* self\.block_size // self\._chunk\) \* self\._chunk",
        r".*",
        "the bound comes out too early at the most: a short cut is not taken, and the long way decides the same",
    ),
)


def reason_for(module: str, before: str, after: str) -> str:
    """Why these cannot be told apart, '' if nobody knows."""
    for one in EQUIVALENT:
        if (
            module.endswith(one.module)
            and re.fullmatch(one.before, before)
            and re.fullmatch(one.after, after)
        ):
            return one.why
    return ""
