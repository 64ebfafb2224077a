"""Content: a key stands for one chain of tokens, and blocks are shared only for what they hold."""

from collections.abc import Iterator

from invariants.allocation import computed_tokens, once_a_step, taken_blocks
from invariants.history import History, Identity
from invariants.protocols import step_invariant
from invariants.references import entries
from invariants.step import Allocate, Cache, Step
from invariants.view import View
from spec.units import NULL_BLOCK

KEYING = (Allocate, Cache)
"""What gives blocks their keys."""

Given = tuple[int, bytes, str, int, int]
"""A block that was given a key, the key, and the table entry (request, group, index) that holds it."""


def newly_keyed(before: View, step: Step, after: View, history: History) -> list[Given]:
    """The blocks that got a key in the step and stand in the acting request's tables."""
    action = step.action
    return _keyed_by(before, action, after, history) if isinstance(action, KEYING) else []


@once_a_step
def _keyed_by(before: View, action: Allocate | Cache, after: View, history: History) -> list[Given]:
    keys = after.keys
    keyed: set[int] = set()
    if before.keys is not keys:
        keyed.update([b for b, key in enumerate(keys) if key is not None and key != before.keys[b]])
    if isinstance(action, Allocate):
        keyed.update([b for b in taken_blocks(before, action, after, history) if keys[b] is not None])
    if not keyed:
        return []
    return [
        (block, key, action.request, group, index)
        for group, table in enumerate(after.tables.get(action.request, []))
        for index, block in enumerate(table)
        if block in keyed and (key := keys[block]) is not None
    ]


@step_invariant("cached-blocks-are-full", "keys", of=(Allocate,))
def cached_blocks_are_full(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """A key is given to the acting request's blocks whose tokens are all known and computed [ALLOC-12, MGR-4].

    The step that begins counts as run: its tokens are cached before they are computed [Q-18, PROTO-13].
    """
    given = newly_keyed(before, step, after, history)
    if not given and before.keys == after.keys:
        return
    named = {block for block, *_ in given}
    for block, (old, new) in enumerate(zip(before.keys, after.keys, strict=True)):
        if new not in (None, old) and block not in named:
            yield f"block {block} got a key in {step.action}, which has no table entry that holds it"
    limit = _cacheable(step, history)
    for block, _, request, group, index in given:
        end = (index + 1) * history.setting.groups[group].attention.block_size
        if end > limit:
            yield (
                f"block {block} got a key as block {index} of request {request}, group {group}, which ends "
                f"at token {end}, but only {limit} tokens are known and computed by {step.action}"
            )


def _cacheable(step: Step, history: History) -> int:
    """How many leading tokens of the acting request the step may cache [ALLOC-12, ALLOC-16]."""
    match step.action:
        case Allocate(delay=False, appended=tuple()) as action:
            record = history.requests.get(action.request)
            known = len(record.tokens) if record else 0
            return min(computed_tokens(action, history.setting) + action.new, known)
        case Cache(request=request, tokens=tokens):
            record = history.requests.get(request)
            return min(tokens, len(record.tokens) if record else 0)
    return 0


@step_invariant("key-names-content", "keys", of=(Allocate,))
def key_names_content(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Two blocks ever have the same key exactly if their content chains and their groups are equal [HASH-1, HASH-9].

    But for what the format of keys cannot tell apart, judged by the requests alone [Q-10, Q-11, HASH-4]. A block that
    was taken and shows the key that it had was given it anew.
    """
    owners: dict[bytes, Identity] = {}
    keys: dict[Identity, bytes] = {}
    for block, key, request, group, index in newly_keyed(before, step, after, history):
        identity = history.identity(request, group, index)
        if identity is None:
            continue
        owner = history.owners.get(key) or owners.setdefault(key, identity)
        if not owner.may_share_key(identity):
            yield (
                f"block {block} got key {key.hex()} for block {index} of request {request}, group {group}; "
                f"that key stood for another content{'' if owner.group == group else f' in group {owner.group}'}"
            )
        known = history.keys.get(identity) or keys.setdefault(identity, key)
        if known != key:
            yield (
                f"block {block} got key {key.hex()} for block {index} of request {request}, group {group}; "
                f"the same content had key {known.hex()}"
            )


@step_invariant("shared-blocks-agree", "tables")
def shared_blocks_agree(before: View, step: Step, after: View, history: History) -> Iterator[str]:
    """Requests share a block only where their contents are equal: same chain, same group, same index [INV-5]."""
    action = step.action
    if not isinstance(action, Allocate) or before.tables == after.tables:
        return
    for group, table in enumerate(after.tables.get(action.request, [])):
        for index, block in enumerate(table):
            if block == NULL_BLOCK or after.ref_counts[block] <= 1:
                continue
            own = history.identity(action.request, group, index)
            for other, *place in entries(after, block):
                if other == action.request:
                    continue
                theirs = history.identity(other, *place)
                if own is None or theirs is None or not own.may_share_key(theirs):
                    yield (
                        f"block {block} is block {index} of request {action.request}, group {group}, and block "
                        f"{place[1]} of request {other}, group {place[0]}, but their contents differ"
                    )
