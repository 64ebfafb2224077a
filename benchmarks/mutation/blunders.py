"""Calls that no scheduler makes, tried on a manager at the end of a case.

A caller's mistake is named before anything changes [ALLOC-1, ALLOC-15, ALLOC-18, CACHE-2, POOL-8], so one can
be tried after another, and both managers must name the same. The fuzzer makes few of them, for it also
plays vLLM, which trusts its caller.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.errors import CallerError
from kvref.operations import Observation
from kvref.request import Request
from kvref.targets.base import digest
from kvref.targets.session import ApiSession, block_ids

NEGATIVE = (0, 1, 3, 4, 6, 8)
"""Where `allocate_slots` takes counts: new and hit tokens, lookahead, external and encoder tokens, reserved blocks."""

Told = tuple[str, str, bytes]
"""The call, what came of it, and a digest of the state behind it."""


def blunders(session: ApiSession) -> Iterator[Told]:
    """Try them all, and tell after each."""
    for what, call in _calls(session):
        try:
            result = call()
        except CallerError as error:
            came = type(error).__name__
        else:
            came = str(block_ids(result)) if hasattr(result, "blocks") else str(result)
        yield what, came, digest(Observation(), session.view())


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


def _length_of(session: ApiSession, request: Request) -> int:
    length: int = session.manager.get_computed_blocks(request)[1]
    return length


def _of_a_holder(
    session: ApiSession, name: str, request: Request
) -> Iterator[tuple[str, Callable[[], object]]]:
    manager = session.manager
    yield f"{name} external", partial(manager.allocate_slots, request, 1, num_external_computed_tokens=1)
    yield (
        f"{name} external alone",
        partial(manager.allocate_slots, request, 0, num_external_computed_tokens=2),
    )
    found, length = manager.get_computed_blocks(request)
    yield f"{name} hit", partial(manager.allocate_slots, request, 1, length, found)
    # Legal, and never asked by the fuzzer's scheduler: the gate for a request that runs.
    yield f"{name} must fit", partial(manager.allocate_slots, request, 1, full_sequence_must_fit=True)


def _of_hits(session: ApiSession, name: str, request: Request) -> Iterator[tuple[str, Callable[[], object]]]:
    manager = session.manager
    found, length = manager.get_computed_blocks(request)
    rows = [list(row) for row in found.blocks]
    own = [block.block_id for row in rows for block in row if block.block_id]
    view = session.view()
    others = [block for block, key in enumerate(view.keys) if block and block not in own]
    made: dict[str, list[list[KVCacheBlock]]] = {
        "a group less": rows[:-1],
        "a group more": [*rows, []],
        "a block less": [row[:-1] for row in rows],
        "a block twice": [[*row, *row[-1:]] for row in rows],
        "groups in reverse": rows[::-1],
        "more blocks than hashes": [row + row[-1:] * len(request.block_hashes) for row in rows],
    }
    block_size = length // len(rows[0]) if rows and rows[0] else 0
    for what, changed in made.items():
        hit = KVCacheBlocks(tuple(changed))
        told = len(changed[0]) * block_size if changed else 0
        for tokens in (length, length + 1, max(0, length - 1), told):
            yield (
                f"{name} {what} {tokens}",
                partial(manager.allocate_slots, request, 1, tokens, hit),
            )
    for block in (others[:1] + others[-1:]) if own else []:
        strange = _with(session, rows, block)
        if strange is not None:
            yield (
                f"{name} {block}",
                partial(manager.allocate_slots, request, 1, length, strange),
            )
    if own:
        yield f"evict {own[0]}", partial(manager.evict_blocks, [own[0]])
        yield f"{name} stale", partial(manager.allocate_slots, request, 1, length, found)
    for row in reversed(rows):
        # Legal, but rare: of groups with one spec only a later one has lost what is hit.
        last = row[-1].block_id if row else 0
        yield f"evict {last}", partial(manager.evict_blocks, [last])
        yield f"{name} looks again", partial(_length_of, session, request)
    yield f"{name} comes in", partial(manager.allocate_slots, request, 1)


def _with(session: ApiSession, rows: list[list[KVCacheBlock]], block: int) -> KVCacheBlocks | None:
    """The hit with another block at its end."""
    pool = session.manager.pool
    shown = pool.block(block) if hasattr(pool, "block") else pool.blocks[block]
    return KVCacheBlocks(tuple([*row[:-1], shown] if row else row for row in rows))
