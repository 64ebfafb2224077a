"""A caller of the reference manager, so that a test reads like the worked example that it is.

Tokens are drawn from a counter: two prompts differ unless a test says that they share a prefix.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import pytest

from kvref.blocks import KVCacheBlock, KVCacheBlocks
from kvref.config import KVCacheConfig, KVCacheGroupSpec
from kvref.errors import CallerError
from kvref.events import KVCacheEvent
from kvref.hashing import BlockHasher
from kvref.kv_cache_spec import (
    ChunkedLocalAttentionSpec,
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    SinkFullAttentionSpec,
    SlidingWindowSpec,
)
from kvref.reference import KVCacheManager
from kvref.request import Request
from spec.units import RequestId, Tokens

_fresh = count(1000)


@dataclass(frozen=True)
class Half:
    """An element of two bytes."""

    itemsize: int = 2


def full(block_size: int, heads: int = 1) -> FullAttentionSpec:
    return FullAttentionSpec(block_size, num_kv_heads=heads, head_size=8, dtype=Half())


def sink(block_size: int, sink_len: int) -> SinkFullAttentionSpec:
    return SinkFullAttentionSpec(block_size, num_kv_heads=1, head_size=8, dtype=Half(), sink_len=sink_len)


def sliding(block_size: int, window: int) -> SlidingWindowSpec:
    return SlidingWindowSpec(block_size, num_kv_heads=1, head_size=8, dtype=Half(), sliding_window=window)


def chunked(block_size: int, chunk: int) -> ChunkedLocalAttentionSpec:
    return ChunkedLocalAttentionSpec(
        block_size, num_kv_heads=1, head_size=8, dtype=Half(), attention_chunk_size=chunk
    )


def mamba(block_size: int, speculative: int = 0, mode: Literal["none", "all", "align"] = "none") -> MambaSpec:
    return MambaSpec(
        block_size, ((8,),), (Half(),), mamba_cache_mode=mode, num_speculative_blocks=speculative
    )


def cross(block_size: int) -> CrossAttentionSpec:
    return CrossAttentionSpec(block_size, num_kv_heads=1, head_size=8, dtype=Half())


def fresh(number: int) -> list[int]:
    """Tokens that no other prompt has."""
    return [next(_fresh) for _ in range(number)]


def seeded_hasher(block_size: int) -> BlockHasher:
    return BlockHasher.seeded("sha256_cbor", Tokens(block_size), "0")


class Caller:
    """A manager of `specs`, and the hash of what its requests hold."""

    def __init__(
        self,
        *specs: KVCacheSpec,
        blocks: int,
        eagle: bool = False,
        eagle_groups: Iterable[int] = (),
        caching: bool = True,
        model: int = 1000,
        scheduler: int | None = None,
        fine: int | None = None,
        manager: Callable[..., Any] = KVCacheManager,
        **options: Any,
    ) -> None:
        sizes = [spec.block_size for spec in specs] or [4]
        groups = tuple(
            KVCacheGroupSpec((f"layer.{i}",), spec, i in set(eagle_groups)) for i, spec in enumerate(specs)
        )
        fine = min(sizes) if fine is None else fine
        self.manager: KVCacheManager = manager(
            KVCacheConfig(blocks, groups),
            max_model_len=model,
            scheduler_block_size=scheduler or max(sizes),
            hash_block_size=fine,
            enable_caching=caching,
            use_eagle=eagle,
            **options,
        )
        self._hasher = seeded_hasher(fine) if caching else None

    # Requests

    def request(self, name: str, tokens: int | Sequence[int], **options: Any) -> Request:
        """A new request; a number of tokens stands for that many fresh ones."""
        prompt = fresh(tokens) if isinstance(tokens, int) else tokens
        options.setdefault("block_hasher", self._hasher)
        return Request(RequestId(name), prompt, **options)

    # Calls

    def lookup(self, request: Request) -> tuple[tuple[list[int], ...], int]:
        found, length = self.manager.get_computed_blocks(request)
        return ids(found), length

    def admit(
        self, request: Request, new: int | None = None, **options: Any
    ) -> tuple[tuple[list[int], ...], int, tuple[list[int], ...] | None]:
        """Look up, allocate what was not hit (or `new` tokens): hit ids, hit length, new ids."""
        found, length = self.manager.get_computed_blocks(request)
        external = options.get("num_external_computed_tokens", 0)
        rest = request.num_tokens - length - external if new is None else new
        taken = self.manager.allocate_slots(request, rest, length, found, **options)
        if taken is not None:
            request.num_computed_tokens = Tokens(length + external + rest)
        return ids(found), length, None if taken is None else ids(taken)

    def step(
        self, request: Request, new: int, lookahead: int = 0, **options: Any
    ) -> tuple[list[int], ...] | None:
        """Allocate `new` more tokens, and compute them: the appended ids, None if they do not fit."""
        taken = self.manager.allocate_slots(request, new, num_lookahead_tokens=lookahead, **options)
        if taken is None:
            return None
        request.num_computed_tokens = Tokens(request.num_computed_tokens + new)
        return ids(taken)

    def free(self, request: Request) -> None:
        self.manager.free(request)

    def preempt(self, request: Request) -> None:
        self.manager.free(request)
        request.num_computed_tokens = Tokens(0)
        request.num_preemptions += 1

    # What can be seen

    @property
    def queue(self) -> list[int]:
        return [int(block_id) for block_id in self.manager.pool.free_queue]

    def table(self, request: Request, group: int = 0) -> list[int]:
        return [int(i) for i in self.manager.get_block_ids(request.request_id)[group]]

    def cached(self, request: Request, group: int = 0) -> dict[int, int]:
        """By block index: the oldest block in the prefix map with the request's content there."""
        own = self.manager.groups[group]
        size = int(own.attention.block_size)
        found = {index: own.find(request, index) for index in range(request.num_tokens // size)}
        return {index: int(block.block_id) for index, block in found.items() if block is not None}

    def events(self) -> list[KVCacheEvent]:
        return self.manager.take_events()

    def users(self, *blocks: int) -> list[int]:
        return [self.manager.pool.blocks[block].ref_cnt for block in blocks]

    def state(self) -> object:
        """All that a call could change, as plain values."""
        pool = self.manager.pool
        return (
            [(block.ref_cnt, block.block_hash) for block in pool.blocks],
            list(pool.free_queue),
            [(key, list(holders)) for key, holders in pool.prefix_map.items()],
            [
                {name: (t.ids(), t.handled, t.grown) for name, t in group.tables.items()}
                for group in self.manager.groups
            ],
            [list(group.new_block_ids) for group in self.manager.groups],
            [set(group.cached_this_step) for group in self.manager.groups],
            list(pool.events),
            copy(self.manager.prefix_cache_stats),
        )

    def refuses(self, mistake: type[CallerError], words: str, call: Any, *arguments: Any) -> None:
        """The call raises `mistake` with `words` in its text, and changes nothing."""
        before = self.state()
        with pytest.raises(mistake, match=re.escape(words)):
            call(*arguments)
        assert self.state() == before


def ids(blocks: KVCacheBlocks) -> tuple[list[int], ...]:
    return tuple([int(block.block_id) for block in group] for group in blocks.blocks)


def by_id(caller: Caller, *groups: Sequence[int]) -> KVCacheBlocks:
    """A result that names these blocks."""
    rows: list[list[KVCacheBlock]] = [[caller.manager.pool.blocks[b] for b in group] for group in groups]
    return KVCacheBlocks(tuple(rows))
