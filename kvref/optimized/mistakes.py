"""What a caller must not do, told by name before anything changes."""

from collections.abc import Iterable

from kvref.errors import (
    ForeignHitError,
    NegativeCountError,
    NothingToAllocateError,
    UnhashedTokensError,
    UnknownBlockError,
)
from kvref.request import Request

from .groups import Group
from .pool import BlockPool
from .tables import Tables


def check_counts(counts: tuple[int, ...]) -> None:
    """Counts of tokens and blocks start at 0."""
    if min(counts) < 0:
        raise NegativeCountError(
            f"one of the counts {counts} is negative; counts of tokens and blocks start at 0"
        )


def check_call(
    request: Request,
    rows: list[list[int]] | None,
    new: int,
    external: int,
    groups: int,
    *,
    caching: bool,
    holds: bool,
) -> None:
    """Whether there is something to allocate, and hits only for a request without tables [ALLOC-1, ALLOC-15]."""
    if new == 0 and external == 0:
        raise NothingToAllocateError(
            f"request {request.request_id}: num_new_tokens must be greater than 0 unless external tokens come"
        )
    if rows is not None and len(rows) != groups:
        raise ForeignHitError(
            f"request {request.request_id}: hits for {len(rows)} groups, but there are {groups}"
        )
    hits = rows is not None and any(rows)
    if hits and not caching:
        raise ForeignHitError(
            f"request {request.request_id}: hits should be empty when prefix caching is disabled"
        )
    if holds and (hits or external):
        raise ForeignHitError(
            f"request {request.request_id} holds a block table already: hits and external tokens are for "
            "a new or a preempted request"
        )


def check_hits(
    request: Request,
    rows: list[list[int]],
    tokens: int,
    groups: list[Group],
    pool: BlockPool,
) -> None:
    """Whether the hits hold the request's content still, and as many tokens as told [ALLOC-18, BIND-5]."""
    for group in groups:
        row = rows[group.index]
        if len(row) * group.block_size != tokens:
            raise ForeignHitError(
                f"request {request.request_id}: group {group.index} has hits for {len(row) * group.block_size} "
                f"tokens, num_new_computed_tokens says {tokens}; pass what the lookup returned"
            )
        for index, block in enumerate(row):
            if block and not _holds(pool, group, block, request, index):
                raise ForeignHitError(
                    f"request {request.request_id}: block {block} does not hold block {index} of group "
                    f"{group.index} (any more); look up again right before allocating"
                )


def _holds(pool: BlockPool, group: Group, block: int, request: Request, index: int) -> bool:
    """Whether the block is cached in this group with the content of the request's block `index`."""
    if not 0 < block < pool.num_blocks or pool.group(block) != group.index:
        return False
    per_block = group.hashes_per_block
    hashes = request.block_hashes[index * per_block : (index + 1) * per_block]
    return pool.content[block] == b"".join(hashes)


def check_hashed(request: Request, tokens: int, fine_size: int, groups: list[Group]) -> None:
    """Whether the request's hashes cover its full blocks among the first `tokens` tokens [CACHE-2].

    `fine_size` is the hash block size in tokens.
    """
    hashed = len(request.block_hashes)
    if hashed * fine_size >= tokens:
        return
    for group in groups:
        blocks = group.cacheable_blocks(tokens)
        if blocks * group.hashes_per_block > hashed:
            raise UnhashedTokensError(
                f"request {request.request_id}: {blocks * group.block_size} tokens are to be cached, but only "
                f"{hashed * fine_size} are hashed; give the request a block hasher, or fewer tokens"
            )


def check_slots(request: Request, tokens: int, groups: list[Group], tables: Tables | None) -> None:
    """Whether the request's tables cover the first `tokens` tokens, as far as they can be cached [CACHE-2]."""
    for group in groups:
        held = 0 if tables is None else len(tables.rows[group.index])
        if group.cacheable_blocks(tokens) > held:
            raise UnhashedTokensError(
                f"request {request.request_id}: {tokens} tokens are to be cached, but group {group.index} "
                f"holds {held} blocks of {group.block_size} tokens"
            )


def check_blocks(blocks: Iterable[int], pool: BlockPool) -> None:
    """Whether all ids are of this pool [POOL-8]."""
    for block in blocks:
        if not 0 <= block < pool.num_blocks:
            raise UnknownBlockError(f"Invalid block_id {block}: the pool has {pool.num_blocks} blocks")
