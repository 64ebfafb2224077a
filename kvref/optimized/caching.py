"""Caching full blocks, and telling of it."""

from kvref.events import MEDIUM_GPU, BlockStored, EventKeys, event_keys
from kvref.request import Request, extra_keys
from kvref.units import GroupId

from .groups import Group
from .pool import BlockPool, hash_number
from .tables import Tables


def cache_full_blocks(
    pool: BlockPool, group: Group, request: Request, tables: Tables, tokens: int, tells: bool
) -> None:
    """Cache the blocks that became full within `tokens` tokens, but for nulls and thinned out ones.

    All of them count as handled then [MGR-4, MGR-5, CACHE-4].
    """
    g = group.index
    start, end = tables.handled[g], group.cacheable_blocks(tokens)
    if end <= start:
        return
    tables.handled[g] = end
    is_one = end == start + 1 and group.hashes_per_block == 1
    if is_one and not (group.thins_out or group.is_state or tells):
        block = tables.rows[g][start]
        if block:
            pool.cache_one(g, block, request.block_hashes, start)  # type: ignore[arg-type]
    else:
        _cache_blocks(pool, group, request, tables, start, end, tells)


def _cache_blocks(
    pool: BlockPool, group: Group, request: Request, tables: Tables, start: int, end: int, tells: bool
) -> None:
    """Cache what is worth it in [start, end), whatever has to be done on the way."""
    g, per_block, row = group.index, group.hashes_per_block, tables.rows[group.index]
    kept = group.kept_blocks(start, end, request.num_prompt_tokens)
    if kept is not None:
        kept = [index for index in kept if row[index]]
    elif 0 in row[start:end]:
        kept = [index for index in range(start, end) if row[index]]
    runs = pool.maps[g].runs if kept is None else None
    hashes: list[bytes] = request.block_hashes  # type: ignore[assignment]
    if kept is not None:
        blocks = [row[index] for index in kept]
        names = [hashes[(index + 1) * per_block - 1] for index in kept]
    else:
        blocks = row[start:end]
        names = hashes[(start + 1) * per_block - 1 : end * per_block : per_block]
    contents = names
    if per_block > 1:
        indexes = range(start, end) if kept is None else kept
        contents = [b"".join(hashes[i * per_block : (i + 1) * per_block]) for i in indexes]
    younger = pool.cache(g, blocks, names, contents)
    if runs is not None and younger < len(blocks):
        first = start + younger
        before = hashes[first * per_block - 1] if first else None
        runs.extend(first, blocks[younger:] if younger else blocks, before)
    if group.is_state:
        pool.maps[g].cached_this_step.update(contents)
    if tells:
        indexes = range(start, end) if kept is None else kept
        pool.events.append(_stored(group, request, start, end, indexes))


def _stored(group: Group, request: Request, start: int, end: int, kept: range | list[int]) -> BlockStored:
    """What a consumer is told: the blocks that were cached, all tokens of the range [EVENT-3, Q-12]."""
    size, per_block = group.block_size, group.hashes_per_block
    hashes = request.block_hashes
    keys: list[EventKeys] = []
    item = 0
    for index in kept:
        # Worked out anew for the group's own blocks, whatever entered the hash.
        own, item = extra_keys(request, index * size, (index + 1) * size, item)
        keys.append(event_keys(own))
    lora = request.lora_request
    return BlockStored(
        block_hashes=tuple([hash_number(hashes[(index + 1) * per_block - 1]) for index in kept]),
        parent_block_hash=hash_number(hashes[start * per_block - 1]) if start else None,
        token_ids=tuple(request.all_token_ids[start * size : end * size]),
        block_size=size,
        lora_id=None if lora is None else lora.lora_int_id,
        medium=MEDIUM_GPU,
        lora_name=None if lora is None else lora.lora_name,
        extra_keys=tuple(keys) or None,
        group_idx=GroupId(group.index),
        kv_cache_spec_kind=group.kind,
        kv_cache_spec_sliding_window=group.window,
    )
