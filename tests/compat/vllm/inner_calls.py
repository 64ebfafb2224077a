"""Plays random inner calls on vLLM's inner structures, and writes what was seen, one JSON line a call.

`python inner_calls.py vllm|MANAGER FILE FIRST CASES [SUBJECT...]` runs in an interpreter that has vLLM:
`vllm` plays on the real one, anything else on the views of that manager. The same seed gives the same
calls, as long as both show the same. `python inner_calls.py compare FILE FILE` prints where they part.

Left out, since the reference or the views mean to differ: the null block's count of users (Q-33),
empty tables that a question leaves behind (Q-15, Q-46, Q-47), keys without an entry in the map (Q-42),
negative counts (Q-2, Q-34), admission caps (Q-17), lookups of EAGLE and of windows of one token where
vLLM misses hits (Q-5, Q-9), needs of aligned recurrent states with external tokens (Q-4, Q-28) and
their old states that stand apart (Q-52), chunks with another alignment (Q-49) or that are not made of
whole blocks (Q-7), external blocks behind hits of another group (Q-3), lookups that vLLM refuses
(ERR-14, ERR-19), coarse hashes out of range (Q-45), the order in which a manager evicts a set (Q-19).
Nor is it asked for what the views say they cannot honour: the order of the map's keys, a count of 0,
a removed table whose count stays, blocks foreign to the pool, equality of blocks field by field.
After a call that vLLM leaves half done, which is one that a legal caller does not make, a case ends.
"""

import copy
import importlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

from kvref.compat.vllm import install

SEED = 26
BROKEN = "the script itself breaks"
STEPS = 40

NAMES = {
    "torch": ("float16",),
    "vllm.lora.request": ("LoRARequest",),
    "vllm.sampling_params": ("SamplingParams",),
    "vllm.utils.hashing": ("sha256_cbor",),
    "vllm.v1.core.block_pool": ("BlockHashToBlockMap", "BlockPool"),
    "vllm.v1.core.kv_cache_manager": ("KVCacheManager",),
    "vllm.v1.core.kv_cache_utils": (
        "BlockHashListWithBlockSize",
        "FreeKVCacheBlockQueue",
        "KVCacheBlock",
        "get_request_block_hasher",
        "init_none_hash",
        "make_block_hash_with_group_id",
    ),
    "vllm.v1.core.single_type_kv_cache_manager": ("get_manager_for_kv_cache_spec",),
    "vllm.v1.kv_cache_interface": (
        "ChunkedLocalAttentionSpec",
        "FullAttentionSpec",
        "KVCacheConfig",
        "KVCacheGroupSpec",
        "MambaSpec",
        "SlidingWindowSpec",
    ),
    "vllm.v1.request": ("Request",),
}


def peer() -> SimpleNamespace:
    """vLLM's names, whoever stands behind them."""
    return SimpleNamespace(
        **{
            name: getattr(importlib.import_module(module), name)
            for module, own in NAMES.items()
            for name in own
        }
    )


def plain(value: Any) -> Any:
    """What was seen, without objects: a block or a request is its id, a key or a hash its last digits."""
    for attribute, show in BY_ATTRIBUTE.items():
        if hasattr(value, attribute):
            return show(value)
    for kind, show in BY_TYPE.items():
        if isinstance(value, kind):
            return show(value)
    return value


BY_ATTRIBUTE: dict[str, Callable[[Any], Any]] = {
    "block_id": lambda block: block.block_id,
    "request_id": lambda request: request.request_id,
    "blocks": lambda result: plain(result.blocks),
    "__struct_fields__": lambda event: [
        type(event).__name__,
        *(plain(getattr(event, name)) for name in event.__struct_fields__),
    ],
}
BY_TYPE: dict[Any, Callable[[Any], Any]] = {
    bytes: lambda digits: digits[-8:].hex(),
    Mapping: lambda mapping: sorted([plain(key), plain(value)] for key, value in mapping.items()),
    set: lambda values: sorted(map(plain, values)),
    str: lambda text: text,
    Sequence: lambda values: [plain(value) for value in values],
}


class Ended(Exception):  # noqa: N818 - no error: the case has nothing more to show
    """A call was left half done."""


class Case:
    """One script of calls, drawn as it is played, and what each of them showed."""

    def __init__(self, subject: str, number: int, vllm: SimpleNamespace) -> None:
        self.name = f"{subject} {number}"
        self.draw = Random(f"{SEED} {self.name}")  # noqa: S311 - no secret
        self.vllm = vllm
        self.lines: list[str] = []
        self.state: Callable[[], Any] = lambda: None
        self.ids = itertools.count()

    def do(
        self, what: str, call: Callable[..., Any], *arguments: Any, last: bool = False, **named: Any
    ) -> Any:
        """Make a call, and write down what it gave and what there is to see then.

        An error counts by its class. With `last` the case ends with an error, unseen what it left.
        """
        result, failed = None, False
        try:
            result = call(*arguments, **named)
            shown = plain(result)
        except Exception as error:  # noqa: BLE001 - which one it is, is the question
            shown, failed = f"raises {type(error).__name__}", True
        told = f"{what} {json.dumps(plain([*arguments, named]))}"
        state = None if failed and last else self.state()
        self.lines.append(json.dumps([self.name, told, shown, state]))
        if failed and last:
            raise Ended
        return result

    def note(self, what: str, *facts: Any) -> None:
        """Write down facts, and what there is to see now."""
        self.do(what, lambda: facts)

    def some(self, population: Iterable[Any], most: int = 4) -> list[Any]:
        """A few of these, in any order."""
        all_of_them = list(population)
        return self.draw.sample(all_of_them, self.draw.randint(0, min(most, len(all_of_them))))

    def chance(self, part: float) -> bool:
        return self.draw.random() < part

    def request(self, tokens: int, hash_block_size: int) -> Any:
        """A request of one of few families, so that prefixes are shared."""
        family = self.draw.randrange(2)
        common = self.draw.choice([tokens, tokens - 1, self.draw.randint(0, tokens)])
        own = next(self.ids)
        vllm = self.vllm
        return vllm.Request(
            f"r{own}",
            [family] * common + [100 + own] * (tokens - common),
            vllm.SamplingParams(),
            None,
            lora_request=vllm.LoRARequest("adapter", 7, "path") if self.chance(0.1) else None,
            cache_salt="salt" if self.chance(0.1) else None,
            block_hasher=vllm.get_request_block_hasher(hash_block_size, vllm.sha256_cbor),
        )

    def continued(self, request: Any, tokens: int) -> None:
        """Let the request have so many tokens, sampled ones at its end."""
        short = tokens - request.num_tokens
        if short > 0:
            request.append_output_token_ids([self.draw.randrange(3) for _ in range(short)])


class Play:
    """A structure that is played on. Each move is as likely as the number behind it says."""

    moves: ClassVar[Mapping[str, int]]

    def __init__(self, case: Case) -> None:
        self.case = case
        self.vllm = case.vllm
        self.draw = case.draw
        case.state = self.state

    def state(self) -> Any:
        raise NotImplementedError

    def play(self) -> None:
        names, weights = list(self.moves), list(self.moves.values())
        for _ in range(STEPS):
            getattr(self, self.draw.choices(names, weights)[0])()


class QueuePlay(Play):
    """Two free queues by themselves, between which blocks wander."""

    moves: ClassVar[Mapping[str, int]] = {
        "popleft": 4,
        "popleft_n": 4,
        "remove": 4,
        "remove_stranger": 4,
        "append": 4,
        "append_n": 4,
        "prepend_n": 4,
        "remove_end": 1,
    }

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.blocks = [self.vllm.KVCacheBlock(i) for i in range(self.draw.randint(0, 8))]
        start = self.draw.randint(0, len(self.blocks))
        self.queues = [self.vllm.FreeKVCacheBlockQueue(own) for own in (self.blocks[:start], [])]

    def state(self) -> Any:
        ends = [end for q in self.queues for end in (q.fake_free_list_head, q.fake_free_list_tail)]
        return [
            [plain([q.num_free_blocks, q.get_all_free_blocks()]) for q in self.queues],
            [plain([b.prev_free_block, b, b.next_free_block]) for b in (*ends, *self.blocks)],
            [repr(block) for block in self.blocks[:2]],
        ]

    @property
    def queue(self) -> Any:
        return self.queues[self.case.chance(0.2)]

    def out(self) -> list[Any]:
        return [block for block in self.blocks if block.next_free_block is None]

    def popleft(self) -> None:
        self.case.do("popleft", self.queue.popleft)

    def popleft_n(self) -> None:
        queue = self.queue
        self.case.do("popleft_n", queue.popleft_n, self.draw.randint(0, queue.num_free_blocks + 1))

    def remove(self) -> None:
        queue = self.queue
        if queue.num_free_blocks:
            self.case.do("remove", queue.remove, self.draw.choice(queue.get_all_free_blocks()))

    def remove_stranger(self) -> None:
        if self.out():
            self.case.do("remove a stranger", self.queue.remove, self.draw.choice(self.out()))

    def remove_end(self) -> None:
        self.case.do("remove an end", self.queue.remove, self.queue.fake_free_list_head)

    def append(self) -> None:
        if self.out():
            self.case.do("append", self.queue.append, self.draw.choice(self.out()))

    def append_n(self) -> None:
        self.case.do("append_n", self.queue.append_n, self.case.some(self.out()))

    def prepend_n(self) -> None:
        self.case.do("prepend_n", self.queue.prepend_n, self.case.some(self.out()))


def ids_under(value: Any) -> list[int]:
    """The ids of a value of the inner dictionary: a lone block, or blocks by id."""
    return [value.block_id] if hasattr(value, "block_id") else list(value)


def shown_value(value: Any) -> Any:
    """The ids of such a value, and whether it equals what it is."""
    if hasattr(value, "block_id"):
        return [[value.block_id], True]
    lone = len(value) == 1 and value == next(iter(value.values()))
    return [list(value), lone or value == dict(value)]


def shown_map(contents: Any) -> Any:
    """The ids by key of an inner dictionary, or of a copy of one."""
    return sorted([plain(key), ids_under(value)] for key, value in contents.items())


class MapPlay(Play):
    """A prefix map by itself, and its inner dictionary."""

    moves: ClassVar[Mapping[str, int]] = {
        "insert": 3,
        "pop": 2,
        "read": 1,
        "get": 1,
        "pop_inside": 1,
        "pop_or_none": 1,
        "write": 1,
        "delete": 1,
        "clear_or_copy": 1,
    }

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        make_key = self.vllm.make_block_hash_with_group_id
        self.keys = [make_key(bytes([i]) * 32, i % 2) for i in range(4)]
        self.blocks = [self.vllm.KVCacheBlock(i) for i in range(6)]
        self.map = self.vllm.BlockHashToBlockMap()
        self.inner = self.map._cache

    def state(self) -> Any:
        return [
            [len(self.map), len(self.inner), bool(self.inner)],
            shown_map(self.map._cache),
            [plain(self.map.get_one_block(key)) for key in self.keys],
            [key in self.inner for key in self.keys],
            sorted(map(plain, self.inner)),
        ]

    @property
    def key(self) -> Any:
        return self.draw.choice(self.keys)

    def insert(self) -> None:
        self.case.do("insert", self.map.insert, self.key, self.draw.choice(self.blocks))

    def pop(self) -> None:
        self.case.do("pop", self.map.pop, self.key, self.draw.randrange(7))

    def read(self) -> None:
        self.case.do("_cache[key]", lambda key: shown_value(self.inner[key]), self.key)

    def get(self) -> None:
        self.case.do("_cache.get", lambda key: ids_under(self.inner.get(key, {})), self.key)

    def pop_inside(self) -> None:
        self.case.do("_cache.pop", lambda key: shown_value(self.inner.pop(key)), self.key)

    def pop_or_none(self) -> None:
        self.case.do("_cache.pop or {}", lambda key: ids_under(self.inner.pop(key, {})), self.key)

    def write(self) -> None:
        some = self.draw.sample(self.blocks, self.draw.randint(1, 3))
        value = some[0] if len(some) == 1 else {block.block_id: block for block in some}
        self.case.do("_cache[key] =", self.inner.__setitem__, self.key, value)

    def delete(self) -> None:
        self.case.do("del _cache[key]", self.inner.__delitem__, self.key)

    def clear_or_copy(self) -> None:
        snapshot = copy.copy(self.map._cache)
        self.case.do("copy.copy", lambda: sorted([plain(k), shown_value(v)] for k, v in snapshot.items()))
        if self.case.chance(0.5):
            self.case.do("_cache.clear", self.map._cache.clear)
            if self.case.chance(0.7):
                self.case.do("_cache.update", lambda: self.map._cache.update(snapshot))


def pool_state(pool: Any) -> list[Any]:
    """All there is to see of a pool, but for the null block's count of users."""
    queue, prefix_map = pool.free_block_queue, pool.cached_block_hash_to_block
    walked: list[Any] = [queue.fake_free_list_head]
    while walked[-1].next_free_block is not None and len(walked) <= len(pool.blocks) + 1:
        walked.append(walked[-1].next_free_block)
    return [
        plain(queue.get_all_free_blocks()),
        plain(walked),
        plain(queue.fake_free_list_tail.prev_free_block),
        [queue.num_free_blocks, pool.get_num_free_blocks(), pool.get_usage(), pool.num_gpu_blocks],
        [[b.ref_cnt, plain(b.block_hash), b.is_null, plain(b.prev_free_block)] for b in pool.blocks[1:]],
        [plain(pool.null_block), pool.null_block.is_null, plain(pool.null_block.block_hash)],
        [len(prefix_map), shown_map(prefix_map._cache)],
        plain(list(pool.kv_event_queue)),
    ]


class PoolPlay(Play):
    """A pool by itself, and tables over it of requests in three groups with blocks of their own size."""

    moves: ClassVar[Mapping[str, int]] = {
        "get_new_blocks": 2,
        "new_table": 4,
        "cache": 6,
        "touch": 4,
        "release": 4,
        "look_up": 2,
        "evict_one": 1,
        "evict": 1,
        "reset": 1,
        "take_events": 1,
        "rotate": 1,
        "requeue": 1,
        "hold_by_hand": 1,
        "touch_stranger": 1,
        "forget_by_hand": 1,
        "replace_by_hand": 1,
        "find_by_hand": 1,
        "write_events": 2,
    }

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.fine = self.draw.choice([2, 4])
        self.sizes = [self.fine * self.draw.choice([1, 1, 2, 3]) for _ in range(3)]
        self.pool = self.vllm.BlockPool(
            self.draw.randint(2, 16),
            enable_caching=case.chance(0.9),
            hash_block_size=self.fine,
            enable_kv_cache_events=case.chance(0.7),
        )
        self.tables: list[tuple[Any, int, list[Any], list[int]]] = []

    def state(self) -> Any:
        return pool_state(self.pool)

    @property
    def queue(self) -> Any:
        return self.pool.free_block_queue

    @property
    def map(self) -> Any:
        return self.pool.cached_block_hash_to_block

    def held(self) -> list[Any]:
        return [block for block in self.pool.blocks[1:] if block.ref_cnt > 0]

    def keyed(self) -> list[Any]:
        return [block for block in self.pool.blocks if block.block_hash is not None]

    def get_new_blocks(self) -> None:
        self.case.do("get_new_blocks", self.pool.get_new_blocks, self.draw.randint(0, 4))

    def new_table(self) -> None:
        count = self.draw.randint(1, 4)
        if count <= self.pool.get_num_free_blocks():
            request = self.case.request(self.draw.randint(1, 8 * self.fine), self.fine)
            table = self.case.do("get_new_blocks", self.pool.get_new_blocks, count)
            self.tables.append((request, self.draw.randrange(3), table, [0]))

    def cache(self) -> None:
        """Cache some more of a table; at times too much, once more, or with a mask that does not fit."""
        if not self.tables:
            return
        case = self.case
        request, group, table, handled = self.draw.choice(self.tables)
        size = self.sizes[group]
        first, end = handled[0], self.draw.randint(0, min(len(table), request.num_tokens // size))
        unusual = size == self.fine and case.chance(0.08)
        if unusual:
            first, end = self.draw.randint(0, first), self.draw.randint(0, len(table))
        mask = None
        if case.chance(0.5):
            mask = [case.chance(0.7) for _ in range(max(0, end - first) + (unusual and case.chance(0.3)))]
        offered = [self.pool.null_block if case.chance(0.15) else block for block in table]
        call = self.pool.cache_full_blocks
        case.do("cache_full_blocks", call, request, offered, first, end, size, group, mask)
        handled[0] = max(handled[0], end)

    def touch(self) -> None:
        some = [self.draw.choice(self.pool.blocks) for _ in range(self.draw.randint(0, 3))]
        self.case.do("touch", self.pool.touch, tuple(some))

    def release(self) -> None:
        some = self.case.some(self.held(), 5)
        if self.case.chance(0.3):
            some.insert(0, self.pool.null_block)
        front = self.case.chance(0.4)
        free = self.pool.free_blocks
        self.case.do("free_blocks", lambda blocks, prepend: free(iter(blocks), prepend=prepend), some, front)
        live = {block.block_id for block in self.held()}
        self.tables = [t for t in self.tables if all(block.block_id in live for block in t[2])]

    def look_up(self) -> None:
        request, group = self.case.request(8 * self.fine, self.fine), self.draw.randrange(3)
        if self.tables and self.case.chance(0.7):
            request, group, _, _ = self.draw.choice(self.tables)
        hashes = self.vllm.BlockHashListWithBlockSize(request.block_hashes, self.fine, self.sizes[group])
        groups = [group] if self.case.chance(0.7) else self.case.some(range(3), 3)
        for block_hash in list(hashes):
            self.case.do("get_cached_block", self.pool.get_cached_block, block_hash, groups)

    def evict_one(self) -> None:
        block = self.draw.choice(self.pool.blocks)
        self.case.do("_maybe_evict_cached_block", self.pool._maybe_evict_cached_block, block)

    def evict(self) -> None:
        strangers = 2 if self.case.chance(0.2) else 0
        some = self.case.some(range(len(self.pool.blocks) + strangers))
        self.case.do("evict_blocks", self.pool.evict_blocks, set(some))

    def reset(self) -> None:
        if self.case.chance(0.5):
            self.case.do("free_blocks", self.pool.free_blocks, [b for b in self.held() if b.ref_cnt == 1])
            self.tables = []
        self.case.do("reset_prefix_cache", self.pool.reset_prefix_cache)

    def take_events(self) -> None:
        self.case.do("take_events", self.pool.take_events)

    def rotate(self) -> None:
        if self.queue.num_free_blocks:
            block = self.case.do("queue.popleft", self.queue.popleft)
            self.case.do("queue.append", self.queue.append, block)

    def requeue(self) -> None:
        count = self.draw.randint(0, self.queue.num_free_blocks)
        some = self.case.do("queue.popleft_n", self.queue.popleft_n, count)
        self.case.do("queue.prepend_n", self.queue.prepend_n, self.draw.sample(some, len(some)))

    def hold_by_hand(self) -> None:
        if self.queue.num_free_blocks:
            block = self.draw.choice(self.queue.get_all_free_blocks())
            self.case.do("queue.remove", self.queue.remove, block)
            block.ref_cnt = self.draw.randint(1, 2)
            self.case.note("ref_cnt =", block.ref_cnt)

    def touch_stranger(self) -> None:
        if self.queue.num_free_blocks and self.case.chance(0.2):
            block = self.queue.popleft()
            self.case.do("touch what is neither held nor queued", self.pool.touch, [block], last=True)

    def forget_by_hand(self) -> None:
        if self.keyed():
            block = self.draw.choice(self.keyed())
            self.case.do("map.pop", self.map.pop, block.block_hash, block.block_id)
            self.case.do("reset_hash", block.reset_hash)

    def replace_by_hand(self) -> None:
        if self.keyed():
            key = self.draw.choice(self.keyed()).block_hash
            snapshot = copy.copy(self.map._cache)
            self.case.do("_cache.pop", lambda: ids_under(self.map._cache.pop(key)))
            self.case.do("_cache[key] =", lambda: self.map._cache.__setitem__(key, snapshot[key]))

    def find_by_hand(self) -> None:
        unkeyed = [block for block in self.pool.blocks[1:] if block.block_hash is None]
        if unkeyed and self.keyed():
            block, key = self.draw.choice(unkeyed), self.draw.choice(self.keyed()).block_hash
            block.block_hash = key
            self.case.do("map.insert", self.map.insert, key, block)

    def write_events(self) -> None:
        events = list(self.pool.kv_event_queue)
        if events and self.case.chance(0.4):
            self.pool.kv_event_queue = self.draw.sample(events, len(events))
            self.case.note("kv_event_queue =")
        elif events and self.case.chance(0.5):
            self.case.do("kv_event_queue.append", self.pool.kv_event_queue.append, self.draw.choice(events))
        elif events:
            self.case.do("kv_event_queue.pop", self.pool.kv_event_queue.pop)
        else:
            self.case.do("kv_event_queue.clear", self.pool.kv_event_queue.clear)


def draw_spec(case: Case, kind: str, size: int) -> Any:
    """A spec of a kind, where the modes of recurrent layers are kinds of their own."""
    vllm, draw = case.vllm, case.draw
    layer = {"num_kv_heads": 1, "head_size": 8, "dtype": vllm.float16}
    match kind:
        case "full":
            return vllm.FullAttentionSpec(size, **layer)
        case "window":
            return vllm.SlidingWindowSpec(size, **layer, sliding_window=draw.randint(2, 4 * size))
        case "chunk":
            return vllm.ChunkedLocalAttentionSpec(
                size, **layer, attention_chunk_size=size * draw.randint(1, 3)
            )
    return vllm.MambaSpec(
        size,
        ((1, 8),),
        (vllm.float16,),
        mamba_cache_mode=kind,
        num_speculative_blocks=draw.randint(0, 2),
    )


def group_state(group: Any) -> list[Any]:
    """What a group holds; an empty table and a count of 0 are as good as none."""
    return [
        sorted([name, plain(table)] for name, table in list(group.req_to_blocks.items()) if table),
        sorted([name, count] for name, count in group.num_cached_block.items() if count),
        list(group.new_block_ids),
        plain(getattr(group, "cached_blocks_this_step", set())),
    ]


class GroupPlay(Play):
    """A group over a pool, and requests at some point of their lives."""

    moves: ClassVar[Mapping[str, int]] = {
        "admit": 30,
        "step": 40,
        "free": 20,
        "take_new_block_ids": 5,
        "new_step_starts": 5,
        "evict": 3,
        "reset": 3,
        "take_events": 4,
        "table_by_hand": 2,
        "count_by_hand": 2,
        "ask_for_none": 1,
        "write_new_block_ids": 1,
        "read_count": 2,
        "common_prefix": 3,
        "need_of_hits_again": 1,
        "bind_again": 1,
        "bind_nothing_again": 1,
        "take_too_much": 1,
        "hits_without_cache": 1,
    }

    def __init__(self, case: Case, kind: str) -> None:
        super().__init__(case)
        self.kind = kind
        self.fine = 2
        self.size = self.fine * self.draw.choice([1, 1, 2])
        self.spec = draw_spec(case, kind, self.size)
        self.caching = case.chance(0.85)
        blocks = self.draw.choice([8, 14, 30])
        self.pool = self.vllm.BlockPool(blocks, self.caching, self.fine, case.chance(0.4))
        self.alignment = self.size * (1 if kind == "chunk" else self.draw.choice([1, 1, 2, 3]))
        self.group_id = self.draw.randrange(3)
        self.group = self.vllm.get_manager_for_kv_cache_spec(
            self.spec,
            64,
            256,
            block_pool=self.pool,
            enable_caching=self.caching,
            kv_cache_group_id=self.group_id,
            scheduler_block_size=self.alignment,
        )
        eagle = kind in {"full", "window"} and case.chance(0.3)
        self.group.use_eagle = eagle
        self.drops = eagle and (kind == "full" or self.alignment == self.size)
        self.live: dict[str, tuple[Any, int]] = {}
        self.without_count: set[str] = set()

    def state(self) -> Any:
        return [pool_state(self.pool), group_state(self.group)]

    def any_live(self) -> str | None:
        return self.draw.choice(sorted(self.live)) if self.live else None

    def held(self) -> list[Any]:
        return [block for block in self.pool.blocks[1:] if block.ref_cnt > 0]

    def hit(self, request: Any) -> list[Any]:
        """What a lookup finds, of this group or of two, called on the class or on the group."""
        case, hashes = self.case, request.block_hashes
        if self.size != self.fine:
            hashes = self.vllm.BlockHashListWithBlockSize(hashes, self.fine, self.size)
        most = request.num_tokens - 1 if case.chance(0.8) else self.draw.randint(0, request.num_tokens)
        finder = self.group if case.chance(0.5) else type(self.group)
        groups = [self.group_id] if case.chance(0.9) else [0, 1]
        found = case.do(
            f"find_longest_cache_hit {request.request_id} {most} {groups} {self.drops}",
            lambda: finder.find_longest_cache_hit(
                block_hashes=hashes,
                max_length=most,
                kv_cache_group_ids=groups,
                block_pool=self.pool,
                kv_cache_spec=self.spec,
                drop_eagle_block=self.drops,
                alignment_tokens=self.alignment,
            ),
        )
        return list(found[0]) if len(groups) == 1 and self.caching else []

    def fits(self, name: str, slots: int, hits: list[Any], computed: int, main: int) -> bool:
        """Whether the need is free; one below zero counts as zero, since those are known (Q-28)."""
        need = self.case.do(
            "get_num_blocks_to_allocate",
            lambda *of: max(0, self.group.get_num_blocks_to_allocate(*of)),
            *(name, slots, hits, computed, main),
        )
        return bool(need <= self.pool.get_num_free_blocks())

    def admit(self) -> None:
        """What a scheduler does with a new request, now and then with external tokens or a lookahead."""
        case, draw = self.case, self.draw
        request = case.request(draw.randint(1, 10 * self.fine), self.fine)
        name, hits = request.request_id, self.hit(request)
        local = len(hits) * self.size
        left = request.num_tokens - local
        external = draw.randint(1, left) if left and self.kind != "align" and case.chance(0.2) else 0
        computed = local + external
        main = computed + draw.randint(0 if external else 1, max(1, left - external))
        slots = main + (draw.randint(0, 5) if case.chance(0.3) else 0)
        if not self.fits(name, slots, hits, computed, main):
            return
        if case.chance(0.3):
            case.do("ask for a table", lambda: list(self.group.req_to_blocks[name]))
        if external and not hits:
            self.without_count.add(name)
        if hits or external:
            bind = self.group.allocate_new_computed_blocks
            case.do("allocate_new_computed_blocks", bind, name, hits, local, external)
        case.do("allocate_new_blocks", self.group.allocate_new_blocks, name, slots, main)
        self.live[name] = (request, min(main, request.num_tokens))
        self.cache(name)

    def step(self) -> None:
        """What a scheduler's next step does to a request."""
        case, name = self.case, self.any_live()
        if name is None:
            return
        request, computed = self.live[name]
        main = computed + self.draw.randint(1, self.size if self.kind == "align" else 2 * self.size)
        case.continued(request, main)
        case.do("remove_skipped_blocks", self.group.remove_skipped_blocks, name, computed)
        slots = main + (self.draw.randint(0, 3) if self.kind != "align" and case.chance(0.3) else 0)
        if self.fits(name, slots, [], computed, main):
            case.do("allocate_new_blocks", self.group.allocate_new_blocks, name, slots, main)
            self.live[name] = (request, main)
            self.cache(name)
        elif case.chance(0.3):
            case.do("allocate_new_blocks", self.group.allocate_new_blocks, name, slots, main, last=True)

    def cache(self, name: str) -> None:
        request, end = self.live[name]
        if self.caching and self.case.chance(0.8):
            intervals: list[dict[str, Any]] = [{}, {"retention_interval": None}]
            intervals += [{"retention_interval": self.alignment * k} for k in range(4)]
            self.case.do("cache_blocks", self.group.cache_blocks, request, end, **self.draw.choice(intervals))

    def free(self) -> None:
        name = self.any_live()
        if name is not None:
            del self.live[name]
            self.case.do("free", self.group.free, name)
            if self.case.chance(0.1):
                self.case.do("free again", self.group.free, name)

    def take_new_block_ids(self) -> None:
        self.case.do("take_new_block_ids", self.group.take_new_block_ids)

    def new_step_starts(self) -> None:
        self.case.do("new_step_starts", self.group.new_step_starts)

    def evict(self) -> None:
        self.case.do(
            "evict_blocks", self.pool.evict_blocks, set(self.case.some(range(len(self.pool.blocks))))
        )

    def reset(self) -> None:
        self.case.do("reset_prefix_cache", self.pool.reset_prefix_cache)

    def take_events(self) -> None:
        self.case.do("take_events", self.pool.take_events)

    def table_by_hand(self) -> None:
        """A table that no call made: written as a list, or block by block."""
        case, group = self.case, self.group
        if self.pool.get_num_free_blocks() <= 3 or self.kind == "align":
            return
        name, mine = f"hand{next(case.ids)}", self.pool.get_new_blocks(self.draw.randint(1, 3))
        if case.chance(0.3) and self.kind != "full":
            mine.insert(0, self.pool.null_block)
        if case.chance(0.6):
            group.req_to_blocks[name] = mine
            case.note("req_to_blocks[name] =", name, group.req_to_blocks[name] is mine)
        else:
            group.req_to_blocks[name].append(mine[0])
            group.req_to_blocks[name].extend(mine[1:])
            case.note("req_to_blocks[name].append", name, name in group.req_to_blocks)
        if case.chance(0.5):
            tokens = self.draw.randint(0, 5 * self.size)
            case.do("remove_skipped_blocks", group.remove_skipped_blocks, name, tokens)
        if case.chance(0.5):
            slots = 6 * self.size
            case.do("need of a table by hand", group.get_num_blocks_to_allocate, name, slots, [], 0, slots)
        case.note("the list", mine, list(group.req_to_blocks[name]))
        case.do("free", group.free, name)

    def count_by_hand(self) -> None:
        name = self.any_live()
        if name is None:
            return
        counts = self.group.num_cached_block
        kept, count = counts.get(name), self.draw.randint(1, len(self.group.req_to_blocks[name]))
        counts[name] = count
        self.case.do(f"num_cached_block[{name}] = {count}", lambda: self.group.num_cached_block[name])
        counts.pop(name, None)
        self.case.note(f"num_cached_block.pop({name})", name in self.group.num_cached_block)
        if kept:
            counts[name] = kept

    def ask_for_none(self) -> None:
        case, tables, counts = self.case, self.group.req_to_blocks, self.group.num_cached_block
        case.note("get of no table", tables.get("x"), "x" in tables, counts.get("x", 5), "x" in counts)
        case.do("count of none", counts.__getitem__, "x")
        case.do("pop of no table", tables.pop, "x")
        case.do("del of no table", tables.__delitem__, "x")
        case.do("del of no count", counts.__delitem__, "x")
        case.do("pop of no count", counts.pop, "x", None)

    def write_new_block_ids(self) -> None:
        self.group.new_block_ids = list(reversed(self.group.new_block_ids))
        self.case.note("new_block_ids =")

    def read_count(self) -> None:
        name = self.any_live()
        if name is not None and name not in self.without_count:
            counts = self.group.num_cached_block
            self.case.note("has a count", name in counts, counts.get(name))

    def common_prefix(self) -> None:
        name = self.any_live()
        if name is not None:
            self.case.do("get_num_common_prefix_blocks", self.group.get_num_common_prefix_blocks, name)

    def counted(self) -> str | None:
        """A request that was offered to the prefix cache."""
        name = self.any_live()
        return name if name is not None and self.group.num_cached_block.get(name) else None

    def need_of_hits_again(self) -> None:
        name = self.counted()
        if name is not None and self.kind in {"full", "window", "chunk"}:
            need, hits = self.group.get_num_blocks_to_allocate, self.held()[:1]
            self.case.do("need of hits again", need, name, 40, hits, 2, 40, last=True)

    def bind_again(self) -> None:
        name = self.counted()
        if name is not None:
            bind = self.group.allocate_new_computed_blocks
            self.case.do("bind again", bind, name, self.held()[:1], self.size, 0, last=True)

    def bind_nothing_again(self) -> None:
        name = self.counted()
        if name is not None:
            self.case.do("bind nothing again", self.group.allocate_new_computed_blocks, name, [], 0, 0)

    def take_too_much(self) -> None:
        many = self.size * 40
        if self.case.chance(0.3):
            self.case.do("take too much", self.group.allocate_new_blocks, "much", many, many, last=True)

    def hits_without_cache(self) -> None:
        if self.kind == "full" and not self.caching:
            bind, hits = self.group.allocate_new_computed_blocks, [self.pool.blocks[-1]]
            self.case.do("hits without a cache", bind, "none", hits, self.size, 0, last=True)


class ManagerPlay(Play):
    """A manager, its public calls, and what is read and written inside between them."""

    moves: ClassVar[Mapping[str, int]] = {
        "admit": 6,
        "step": 6,
        "free": 4,
        "new_step_starts": 1,
        "take_events": 1,
        "evict": 1,
        "requeue": 1,
        "replace": 1,
        "cache_one_group": 2,
        "ask": 2,
    }

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        kinds = self.draw.choice(MODELS)
        specs = [draw_spec(case, kind, 4) for kind in kinds]
        if kinds == ("full", "window") and case.chance(0.5):
            specs[1] = draw_spec(case, "window", 2)
        self.fine = min(spec.block_size for spec in specs)
        config = self.vllm.KVCacheConfig(
            num_blocks=self.draw.randint(4 * len(specs), 14 * len(specs)),
            kv_cache_tensors=[],
            kv_cache_groups=[self.vllm.KVCacheGroupSpec([f"l{i}"], spec) for i, spec in enumerate(specs)],
        )
        self.manager = self.vllm.KVCacheManager(
            config,
            max_model_len=256,
            scheduler_block_size=4,
            hash_block_size=self.fine,
            enable_caching=case.chance(0.9),
            log_stats=True,
            enable_kv_cache_events=case.chance(0.5),
        )
        self.pool = self.manager.block_pool
        self.groups = self.manager.coordinator.single_type_managers
        self.live: dict[str, Any] = {}

    def state(self) -> Any:
        return [pool_state(self.pool), [group_state(group) for group in self.groups]]

    def any_live(self) -> Any:
        return self.live[self.draw.choice(sorted(self.live))] if self.live else None

    def admit(self) -> None:
        case, manager = self.case, self.manager
        request = case.request(self.draw.randint(1, 30), self.fine)
        blocks, hit = case.do("get_computed_blocks", manager.get_computed_blocks, request)
        new = self.draw.randint(1, request.num_tokens - hit)
        name, slots = request.request_id, hit + new
        if case.chance(0.5):
            case.do(
                "need",
                manager.coordinator.get_num_blocks_to_allocate,
                name,
                slots,
                blocks.blocks,
                0,
                hit,
                slots,
            )
        if case.do("allocate_slots", manager.allocate_slots, request, new, hit, blocks) is not None:
            request.num_computed_tokens = slots
            self.live[name] = request

    def step(self) -> None:
        request, new = self.any_live(), self.draw.randint(1, 6)
        if request is not None:
            self.case.continued(request, request.num_computed_tokens + new)
            if self.case.do("allocate_slots", self.manager.allocate_slots, request, new) is not None:
                request.num_computed_tokens += new

    def free(self) -> None:
        request = self.any_live()
        if request is not None:
            del self.live[request.request_id]
            self.case.do("free", self.manager.free, request)

    def new_step_starts(self) -> None:
        self.case.do("new_step_starts", self.manager.new_step_starts)

    def take_events(self) -> None:
        self.case.do("take_events", self.manager.take_events)

    def evict(self) -> None:
        self.case.do("evict_blocks", self.manager.evict_blocks, {self.draw.randrange(len(self.pool.blocks))})

    def requeue(self) -> None:
        queue = self.pool.free_block_queue
        if queue.num_free_blocks:
            block = self.draw.choice(queue.get_all_free_blocks())
            self.case.do("queue.remove", queue.remove, block)
            self.case.do("queue.prepend_n", queue.prepend_n, [block])

    def replace(self) -> None:
        contents = self.pool.cached_block_hash_to_block._cache
        if contents:
            key = self.draw.choice(sorted(contents))
            held = contents.pop(key)
            self.case.note("_cache.pop", ids_under(held))
            self.pool.cached_block_hash_to_block._cache[key] = held
            self.case.note("_cache[key] =")

    def cache_one_group(self) -> None:
        """What a manager never does: cache of one group what the others would round away."""
        request = self.any_live()
        if request is None:
            return
        tokens = min(request.num_computed_tokens, request.num_tokens)
        if self.manager.enable_caching:
            self.case.do("group.cache_blocks", self.draw.choice(self.groups).cache_blocks, request, tokens)
        self.case.note("tables", [group.req_to_blocks[request.request_id] for group in self.groups])

    def ask(self) -> None:
        request = self.any_live()
        if request is not None:
            common = self.manager.get_num_common_prefix_blocks
            self.case.do("get_num_common_prefix_blocks", common, request.request_id)
            self.case.do("reset_prefix_cache", self.manager.reset_prefix_cache)
            self.case.do("take_new_block_ids", self.manager.take_new_block_ids)


MODELS = (
    ("full",),
    ("window",),
    ("full", "window"),
    ("full", "window", "window"),
    ("window", "full"),
    ("full", "chunk"),
    ("full", "none"),
    ("window", "all"),
)


SUBJECTS: dict[str, Callable[[Case], Play]] = {
    "queue": QueuePlay,
    "map": MapPlay,
    "pool": PoolPlay,
    "full": lambda case: GroupPlay(case, "full"),
    "window": lambda case: GroupPlay(case, "window"),
    "chunk": lambda case: GroupPlay(case, "chunk"),
    "mamba": lambda case: GroupPlay(case, case.draw.choice(["none", "all"])),
    "align": lambda case: GroupPlay(case, "align"),
    "manager": ManagerPlay,
}


def seen(vllm: SimpleNamespace, subject: str, number: int) -> list[str]:
    """What one case shows, line by line."""
    case = Case(subject, number, vllm)
    try:
        SUBJECTS[subject](case).play()
    except Ended:
        pass
    except Exception as error:  # noqa: BLE001 - a script that breaks on one side alone is a difference, too
        case.lines.append(json.dumps([case.name, BROKEN, f"{type(error).__name__}: {error}", None]))
    return case.lines


def cases_of(file: Path) -> dict[str, list[list[Any]]]:
    """What a file tells, by case."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {name: list(own) for name, own in itertools.groupby(lines, key=lambda line: str(line[0]))}


def differences(one: Path, other: Path) -> Iterator[str]:
    """Where two files part, once a case."""
    ours, theirs = cases_of(one), cases_of(other)
    for name in ours | theirs:
        pairs = itertools.zip_longest(ours.get(name, []), theirs.get(name, []))
        for number, (mine, yours) in enumerate(pairs):
            if mine != yours or mine[1] == BROKEN:
                yield f"{name}, call {number}:\n  {json.dumps(mine)}\n  {json.dumps(yours)}"
                break


def main() -> None:
    if sys.argv[1] == "compare":
        parted = list(differences(Path(sys.argv[2]), Path(sys.argv[3])))
        sys.stdout.write("\n".join([*parted, f"{len(parted)} cases differ\n"]))
        return
    target, file, first, cases = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    os.environ["PYTHONHASHSEED"] = "0"
    if target != "vllm":
        install(target)
    vllm = peer()
    vllm.init_none_hash(vllm.sha256_cbor)
    with file.open("w") as out:
        for subject in sys.argv[5:] or SUBJECTS:
            for number in range(first, first + cases):
                out.writelines(f"{line}\n" for line in seen(vllm, subject, number))


if __name__ == "__main__":
    main()
