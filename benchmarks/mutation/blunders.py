"""Calls that no scheduler makes, tried on a manager at the end of a case.

A caller's mistake is named before anything changes [ALLOC-1, ALLOC-15, ALLOC-18, CACHE-2, POOL-8], so one can
be tried after another, and both managers must name the same. The fuzzer makes few of them, for it also
plays vLLM, which trusts its caller.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.errors import CallerError
from kvref.operations import NewRequest, Observation
from kvref.request import Request
from kvref.targets.base import Digester
from kvref.targets.session import ApiSession, block_ids
from kvref.units import BlockId, RequestId, Tokens

NEGATIVE = (0, 1, 3, 4, 6, 8)
"""Where `allocate_slots` takes counts: new and hit tokens, lookahead, external and encoder tokens, reserved blocks."""

LONG = 64
"""So many tokens on, any window has left what was hit."""

Told = tuple[str, str, str]
"""The call, what came of it, and a digest of the state behind it."""


def blunders(session: ApiSession) -> Iterator[Told]:
    """Try them all, and tell after each."""
    digester = Digester()
    for what, call in _calls(session):
        try:
            result = call()
        except CallerError as error:
            came = f"{type(error).__name__}: {error}"
        else:
            came = str(block_ids(result)) if hasattr(result, "blocks") else str(result)
        yield what, came, digester.digest(Observation(), session.view()).hex()


def _calls(session: ApiSession) -> Iterator[tuple[str, Callable[[], object]]]:
    manager = session.manager
    blocks = session.view().ref_counts
    for block in (-1, len(blocks), len(blocks) + 1, 0):
        yield f"evict {block}", partial(manager.evict_blocks, [block])
    for name, request in sorted(session.requests.items()):
        for at in NEGATIVE:
            counts: list[Any] = [1, 0, None, 0, 0, False, 0, False, 0]
            counts[at] = -1
            yield (
                f"{name} {counts}",
                partial(manager.allocate_slots, request, *counts),
            )
        yield f"{name} nothing", partial(manager.allocate_slots, request, 0)
        beyond = request.num_tokens + 1
        for tokens in (-1, beyond, 2 * beyond + 64):
            yield (
                f"{name} cache {tokens}",
                partial(manager.cache_blocks, request, tokens),
            )
        if any(manager.get_block_ids(name)):
            yield from _of_a_holder(session, name, request)
        elif request.num_tokens:
            yield from _of_hits(session, name, request)
    yield "nobody", partial(manager.get_num_common_prefix_blocks, "nobody")
    yield from _unhashed(session)
    yield "cached late", partial(_cached_late, session)
    for request in session.requests.values():
        yield "leaves", partial(manager.free, request)
    for cached, (name, request) in product((True, False), sorted(session.requests.items())):
        yield f"{name} begins again {cached}", partial(_begin_again, manager, request, cached=cached)
    for name, request in sorted(session.requests.items()):
        found, length = manager.get_computed_blocks(request)
        yield "reset", manager.reset_prefix_cache
        yield f"{name} stale after all", partial(_and_free, manager, request, length, found)


def _unhashed(session: ApiSession) -> Iterator[tuple[str, Callable[[], object]]]:
    """A request without a hasher; no configuration is too short for its six tokens."""
    manager = session.manager
    unhashed = Request(RequestId("unhashed"), tuple(range(6)))
    yield "looks for nothing", partial(_length_of, session, Request(RequestId("nothing"), ()))
    yield "looks unhashed", partial(_length_of, session, unhashed)
    for tokens in (1, 4, 6):
        yield f"{tokens} unhashed", partial(_and_free, manager, unhashed, 0, None, tokens)
    yield "delayed", partial(manager.allocate_slots, unhashed, 3, delay_cache_blocks=True)
    unhashed.num_computed_tokens = Tokens(3)
    for tokens in (1, 3):
        yield f"{tokens} more", partial(manager.allocate_slots, unhashed, tokens)
    yield "leaves", partial(manager.free, unhashed)


def _length_of(session: ApiSession, request: Request) -> int:
    length: int = session.manager.get_computed_blocks(request)[1]
    return length


def _of_a_holder(
    session: ApiSession, name: str, request: Request
) -> Iterator[tuple[str, Callable[[], object]]]:
    manager = session.manager
    for tokens in (0, request.num_computed_tokens // 2):
        # Legal, and seldom asked: less than what is cached already.
        yield f"{name} cache {tokens} again", partial(manager.cache_blocks, request, tokens)
    yield f"{name} external", partial(manager.allocate_slots, request, 1, num_external_computed_tokens=1)
    yield (
        f"{name} external alone",
        partial(manager.allocate_slots, request, 0, num_external_computed_tokens=2),
    )
    found, length = manager.get_computed_blocks(request)
    yield f"{name} hit", partial(manager.allocate_slots, request, 1, length, found)
    yield (
        f"{name} hits itself",
        partial(manager.allocate_slots, request, 1, 0, manager.get_blocks(name)),
    )
    # Legal, and never asked by the fuzzer's scheduler: a step that caches nothing, and the gate for one that runs.
    yield f"{name} delayed", partial(manager.allocate_slots, request, 9, delay_cache_blocks=True)
    yield f"{name} must fit", partial(manager.allocate_slots, request, 1, full_sequence_must_fit=True)
    # Legal, and never asked: what left the window before it was cached stays away, whoever counts back.
    for tokens in (request.num_tokens, 0):
        yield f"{name} skips {tokens}", partial(manager.remove_skipped_blocks, name, tokens)
    yield f"{name} cache all", partial(manager.cache_blocks, request, request.num_tokens)


def _of_hits(session: ApiSession, name: str, request: Request) -> Iterator[tuple[str, Callable[[], object]]]:
    manager = session.manager
    found, length = manager.get_computed_blocks(request)
    rows = [list(row) for row in found.blocks]
    own = [block.block_id for row in rows for block in row if block.block_id]
    made: dict[str, list[list[KVCacheBlock]]] = {
        "a group less": rows[:-1],
        "a group more": [*rows, []],
        "a block less": [row[:-1] for row in rows],
        "a block twice": [[*row, *row[-1:]] for row in rows],
        "groups in reverse": rows[::-1],
        "the first group's for all": rows[:1] * len(rows),
        "a null more": [
            [_shown(session, 0) if block.block_id in own[:1] else block for block in row] for row in rows
        ],
        "more blocks than hashes": [row + row[-1:] * len(request.block_hashes) for row in rows],
    }
    block_size = length // len(rows[0]) if rows and rows[0] else 0
    for what, changed in made.items():
        hit = KVCacheBlocks(tuple(changed))
        told = len(changed[0]) * block_size if changed else 0
        for tokens in (length, length + 1, max(0, length - 1), told):
            yield f"{name} {what} {tokens}", partial(_and_free, manager, request, tokens, hit)
    if own:
        yield from _strange(session, name, request, own)
        yield f"{name} without its first", partial(_with_a_gap, session, request, own[0], own[1::2])
        yield f"{name} without its second", partial(_with_a_gap, session, request, own[-1], own[::2])
    if own:
        yield f"evict {own[0]}", partial(manager.evict_blocks, [own[0]])
        yield f"{name} stale", partial(manager.allocate_slots, request, 1, length, found)
    for row in reversed(rows):
        # Legal, but rare: of groups with one spec only a later one has lost what is hit.
        end = row[-1].block_id if row else 0
        yield f"evict {end}", partial(manager.evict_blocks, [end])
        yield f"{name} looks again", partial(_length_of, session, request)
    yield f"{name} comes in", partial(manager.allocate_slots, request, 1)


def _strange(
    session: ApiSession, name: str, request: Request, own: list[int]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Hits with blocks of others, of nobody, for another length, or of another request."""
    manager, view = session.manager, session.view()
    found, length = manager.get_computed_blocks(request)
    rows = [list(row) for row in found.blocks]
    others = [block for block, key in enumerate(view.keys) if block and block not in own]
    for block in others[:1] + others[-1:]:
        for last in (True, False):
            strange = _with(rows, _shown(session, block), last=last)
            yield f"{name} {block}", partial(_and_free, manager, request, length, strange)
    for made_up in (-1, own[-1] - len(view.keys), len(view.keys), len(view.keys) + 1):
        strange = _with(rows, KVCacheBlock(BlockId(made_up)), last=True)
        yield f"{name} {made_up}", partial(_and_free, manager, request, length, strange)
    for told in (0, length - 1, length + 1):
        yield f"{name} has {told}", partial(_and_free, manager, request, told, found)
    for other, somebody in sorted(session.requests.items()):
        if somebody is not request and not any(manager.get_block_ids(other)):
            theirs, tokens = manager.get_computed_blocks(somebody)
            yield f"{name} of {other}", partial(_and_free, manager, request, tokens, theirs)


def _and_free(manager: Any, request: Request, tokens: int, found: KVCacheBlocks | None, new: int = 1) -> str:
    """Admission with this hit, taken back."""
    granted = manager.allocate_slots(request, new, tokens, found)
    manager.free(request)
    return str(None if granted is None else block_ids(granted))


def _cached_late(session: ApiSession) -> str:
    """A request whose tokens leave the window before they are cached, and which then counts back."""
    manager, tokens = session.manager, 6
    request = session.new_request(NewRequest("late", tuple(range(90, 90 + tokens))))
    granted = manager.allocate_slots(request, tokens, delay_cache_blocks=True)
    for computed in (tokens, 0):
        manager.remove_skipped_blocks("late", computed)
    if granted is not None:
        manager.cache_blocks(request, tokens)
    manager.free(request)
    return str(granted is None)


def _begin_again(manager: Any, request: Request, *, cached: bool) -> None:
    """The first token is computed twice, as none of a scheduler is, and cached the second time or not at all."""
    request.num_computed_tokens = Tokens(0)
    for delays in (True, not cached):
        manager.allocate_slots(request, 1, delay_cache_blocks=delays)
    manager.free(request)


def _with_a_gap(session: ApiSession, request: Request, gap: int, lost: list[int]) -> str:
    """Admission with a null among the hits, which then lose the content of some and leave the window."""
    manager = session.manager
    found, length = manager.get_computed_blocks(request)
    rows = [[_shown(session, 0) if block.block_id == gap else block for block in row] for row in found.blocks]
    granted = manager.allocate_slots(request, 1, length, KVCacheBlocks(tuple(rows)))
    manager.evict_blocks(lost)
    told = []
    for computed in (length, length + LONG):
        manager.remove_skipped_blocks(request.request_id, computed)
        told.append(manager.get_block_ids(request.request_id))
    manager.free(request)
    return f"{granted is None} {told}"


def _with(rows: list[list[KVCacheBlock]], block: KVCacheBlock, *, last: bool) -> KVCacheBlocks:
    """The hit with another block at its end, or where it begins."""
    changed = [[*row[:-1], block] if last else [block, *row[1:]] for row in rows if row]
    return KVCacheBlocks(tuple(changed if len(changed) == len(rows) else rows))


def _shown(session: ApiSession, block: int) -> KVCacheBlock:
    pool = session.manager.pool
    shown: KVCacheBlock = pool.block(block) if hasattr(pool, "block") else pool.blocks[block]
    return shown
