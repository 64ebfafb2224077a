"""Hits: what a lookup returns can stand in for computing it."""

from collections.abc import Iterator

from invariants.allocation import used_hit
from invariants.history import History
from invariants.protocols import step_invariant
from invariants.step import Allocate, LookUp, Step
from invariants.view import View
from spec.arithmetic import round_down
from spec.attention import MambaState
from spec.hits import longest_usable
from spec.units import NULL_BLOCK, Tokens


@step_invariant("hit-length", of=(LookUp,))
def hit_length(_before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """A hit's length is a multiple of the alignment, and leaves one token to compute [INV-9, HIT-10]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    alignment = history.setting.hit_alignment
    known = Tokens(len(history.requests[action.request].tokens))
    if action.length % alignment != 0:
        yield f"request {action.request} hits {action.length} tokens, not a multiple of {alignment}"
    if not 0 <= action.length <= longest_usable(known):
        yield f"request {action.request} of {known} tokens hits {action.length}: one must be left to compute"


@step_invariant("hit-covers-every-group", of=(LookUp,))
def hit_covers_every_group(_before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """Every group's blocks cover the hit's tokens, no fewer and no more [INV-9, Q-1, Q-2]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    groups = history.setting.groups
    if len(action.blocks) != len(groups):
        yield f"request {action.request} hits blocks of {len(action.blocks)} groups, there are {len(groups)}"
    for group, (blocks, own) in enumerate(zip(action.blocks, groups, strict=False)):
        covered = len(blocks) * own.attention.block_size
        if covered != action.length:
            yield (
                f"request {action.request} hits {action.length} tokens, but the blocks {list(blocks)} of "
                f"group {group} cover {covered}"
            )


@step_invariant("hit-reads-no-null", of=(LookUp,))
def hit_reads_no_null(_before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """What a group reads when it resumes behind the hit is there: no null among it [HIT-7]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    for group, (blocks, own) in enumerate(zip(action.blocks, history.setting.groups, strict=False)):
        covered = Tokens(len(blocks) * own.attention.block_size)
        missing = [i for i in own.attention.blocks_read(covered) if blocks[i] == NULL_BLOCK]
        if missing:
            yield (
                f"request {action.request}, group {group} reads blocks {missing} behind the hit, "
                f"but they are null: {list(blocks)}"
            )


@step_invariant("hit-holds-its-content", of=(LookUp,))
def hit_holds_its_content(_before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Every block of a hit holds the content that the request would compute at its place [POOL-3, HASH-1]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    for group, blocks in enumerate(action.blocks):
        for index, block in enumerate(blocks):
            if block == NULL_BLOCK:
                continue
            place = f"request {action.request} hits block {block} as block {index} of group {group}"
            wanted = history.identity(action.request, group, index)
            key = after.keys[block] if 0 <= block < len(after.keys) else None
            owner = history.owners.get(key) if key is not None else None
            if wanted is None:
                yield f"{place}, of which it has not all tokens"
            elif owner is None:
                yield f"{place}, but that block was given no content"
            elif not owner.may_share_key(wanted):
                yield f"{place}, but that block holds another content, of group {owner.group}"


@step_invariant("oldest-is-hit", of=(LookUp,))
def oldest_is_hit(_before: View, step: Step, after: View, _history: History) -> Iterator[str]:
    """Of several blocks with one content the one that was cached first is hit [MAP-2, Q-26]."""
    action = step.action
    if not isinstance(action, LookUp) or not action.length:
        return
    oldest = {holders[0] for _, holders in after.prefix_map if holders}
    for group, blocks in enumerate(action.blocks):
        younger = [b for b in blocks if b != NULL_BLOCK and b not in oldest and after.keys[b] is not None]
        if younger:
            yield f"request {action.request} hits {younger} in group {group}, which are younger duplicates"


@step_invariant("equal-specs-hit-alike", of=(LookUp,))
def equal_specs_hit_alike(_before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """Groups with an equal spec are hit together: their blocks are null at the same places [HIT-2, POOL-3]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    first: dict[int, tuple[int, list[bool]]] = {}
    for group, (blocks, own) in enumerate(zip(action.blocks, history.setting.groups, strict=False)):
        nulls = [block == NULL_BLOCK for block in blocks]
        other, theirs = first.setdefault(own.spec, (group, nulls))
        if theirs != nulls:
            yield (
                f"request {action.request}: groups {other} and {group} have equal specs, but hit "
                f"{list(action.blocks[other])} and {list(blocks)}"
            )


@step_invariant("eagle-has-its-block", of=(LookUp,))
def eagle_has_its_block(_before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """The block that the draft head recomputes is cached and usable behind a hit [EAGLE-1, EAGLE-2]."""
    action = step.action
    if not isinstance(action, LookUp) or action.length == 0:
        return
    limit = longest_usable(Tokens(len(history.requests[action.request].tokens)))
    for group, own in enumerate(history.setting.groups):
        covered = round_down(action.length, own.attention.block_size)
        for index in own.attention.eagle_blocks(covered) if own.eagle else ():
            if (index + 1) * own.attention.block_size > limit:
                yield (
                    f"request {action.request}, group {group}: block {index} behind the hit of {action.length} "
                    f"tokens ends behind the usable {limit} tokens"
                )
            elif not _is_cached(action.request, group, index, after, history):
                yield (
                    f"request {action.request}, group {group}: block {index} behind the hit of {action.length} "
                    "tokens is not cached"
                )


def _is_cached(request: str, group: int, index: int, view: View, history: History) -> bool:
    wanted = history.identity(request, group, index)
    owners = (history.owners.get(key) for key, _ in view.prefix_map)
    return wanted is not None and any(owner is not None and owner.may_share_key(wanted) for owner in owners)


@step_invariant("no-hit-unasked", of=(LookUp,))
def no_hit_unasked(_before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """Nothing is hit with caching off, or for a request that does not want to read the cache [HIT-8]."""
    action = step.action
    if not isinstance(action, LookUp):
        return
    asked = history.setting.caching and history.requests[action.request].reads_cache
    if not asked and (action.length != 0 or any(action.blocks)):
        why = "the request skips reading" if history.setting.caching else "prefix caching is off"
        yield f"request {action.request} hits {action.length} tokens, {action.blocks}, but {why}"


@step_invariant("hit-state-is-computed", of=(Allocate,))
def hit_state_is_computed(before: View, step: Step, _after: View, history: History) -> Iterator[str]:
    """A recurrent state that this very step has yet to compute admits no request [MAMBA-3, MAMBA-4]."""
    action = step.action
    if not isinstance(action, Allocate) or action.appended is None:
        return
    hit = used_hit(before, action, history)
    if hit is None:
        return
    for group, (blocks, own) in enumerate(zip(hit.blocks, history.setting.groups, strict=False)):
        last = before.keys[blocks[-1]] if blocks else None
        if isinstance(own.attention, MambaState) and last is not None and last in before.step_keys:
            yield (
                f"{action} resumes from the state in block {blocks[-1]} of group {group}, "
                "which this step has yet to compute"
            )
