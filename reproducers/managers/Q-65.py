"""Shows a fault of vLLM 0.13.0's KV cache manager; written by kvref.

It runs where vLLM 0.13.0 is installed, without a GPU and without a model. It calls the manager as a
scheduler does, and notes what a worker would have written behind the block ids that it was given.
It exits with 1 if the fault shows, with 0 if it does not.
"""

import os
import sys
import traceback
from dataclasses import dataclass, field

os.environ["PYTHONHASHSEED"] = "0"

import torch
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import get_hash_fn_by_name
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, CrossAttentionSpec, SlidingWindowSpec
from vllm.v1.request import Request

hash_function = get_hash_fn_by_name("sha256_cbor")
init_none_hash(hash_function)
requests = []


def make_manager():
    return KVCacheManager(
        KVCacheConfig(
            num_blocks=5,
            kv_cache_tensors=[],
            kv_cache_groups=[
                KVCacheGroupSpec(
                    ["layer.0"], SlidingWindowSpec(block_size=1, num_kv_heads=1, head_size=8, dtype=torch.float16, sliding_window=2)
                ),
                KVCacheGroupSpec(
                    ["layer.1"], CrossAttentionSpec(block_size=1, num_kv_heads=1, head_size=8, dtype=torch.float16)
                ),
            ],
        ),
        max_model_len=3,
        enable_caching=False,
        hash_block_size=1,
        use_eagle=False,
        log_stats=False,
        enable_kv_cache_events=False,
        dcp_world_size=1,
        pcp_world_size=1,
    )


def make_request(name, tokens):
    request = Request(
        request_id=name,
        prompt_token_ids=tokens,
        sampling_params=SamplingParams(),
        pooling_params=None,
        eos_token_id=None,
        block_hasher=None,
    )
    requests.append(request)
    return request


# What a worker does. Groups are those of the manager, in their order.

BLOCK_SIZES = {0: 1, 1: 1}
KINDS = {0: 'sliding', 1: 'cross'}
FIRST_READ = {0: lambda start: max(0, start - 1)}  # a step that computes from token `start` on reads from here on
CROSS = [1]


def content(request, position):
    """What a token leaves in its slot: it follows from all tokens up to it."""
    return tuple(request.all_token_ids[: position + 1])


class Fault(Exception):
    """What the manager did wrong."""


@dataclass
class Life:
    """A request from its admission until it is freed, with its block tables as a worker was told them."""

    request: Request
    tables: list[list[int]]
    ended: bool = False
    encoder: tuple = ()  # what it leaves in its slots
    encoded: bool = False
    rejected: int = 0  # drafts so far
    last: "Share | None" = None  # what has run last


@dataclass
class Share:
    """A request's part of a step: it computes tokens [start, end)."""

    life: Life
    tables: list[list[int]]
    start: int
    end: int
    rejected: int = 0
    known: int = 0  # behind these tokens it computes drafts
    drafts: list[tuple] = field(default_factory=list)


class Memory(dict):
    """What was written, by group, block and offset. The groups share the blocks: one writes over another."""

    def __init__(self):
        self.writers = {}  # by block, the group that wrote it last

    def __setitem__(self, place, value):
        group, block, _ = place
        if self.writers.get(block) != group:
            for old in [old for old in self if old[1] == block]:
                del self[old]
            self.writers[block] = group
        super().__setitem__(place, value)

    def read(self, group, block, offset):
        if self.writers.get(block, group) != group:
            return "what another group wrote"
        return self.get((group, block, offset), "nothing")


def words(found, reader):
    """What a slot holds, in plain words."""
    if isinstance(found, str):
        return found
    for request in [reader, *requests]:
        for position in range(len(request.all_token_ids)):
            if content(request, position) == found:
                return f"token {position} of {request.request_id}"
    return "a rejected draft, or what was dropped"


def entry(table, index):
    """The block at a table entry; block 0 is no block."""
    return table[index] if index < len(table) else 0


class Worker:
    """Runs steps through block tables."""

    def __init__(self, manager):
        self.manager = manager
        self.memory = Memory()
        self.lives = {}  # by request
        self.steps = []  # those that have not run

    def step_starts(self):
        self.steps.append([])

    def schedule(self, request, blocks, start, end, hit=None, encoder=0):
        """The worker is told of the whole tables at first, and then of new blocks: None if refused."""
        if blocks is None:
            return
        life = self.lives.get(request.request_id)
        if life is None:
            life = self._admit(request, encoder)
        else:
            for group, new in enumerate(blocks.get_block_ids()):
                life.tables[group].extend(new)
        share = Share(life, list(life.tables), start, end)
        share.rejected = life.rejected
        self.steps[-1].append(share)

    def _admit(self, request, encoder):
        tables = [list(table) for table in self.manager.get_block_ids(request.request_id)]
        life = self.lives[request.request_id] = Life(request, tables)
        life.encoder = tuple(("encoder", id(life), position) for position in range(encoder))
        return life

    def free(self, request):
        """Its steps run on, but nobody reads their results."""
        if request.request_id in self.lives:
            self.lives.pop(request.request_id).ended = True

    def step_ends(self):
        """The oldest step has run."""
        step = self.steps.pop(0)
        for share in step:
            self._tell_drafts(share)
        for group in CROSS:
            self._attend_across(group, step)
        for group in FIRST_READ:
            self._attend(group, step)

    def _check(self, share, group, block, offset, position, expected, verb="reads"):
        found = self.memory.read(group, block, offset) if block else "nothing"
        if (found != expected or verb == "writes") and not share.life.ended:
            reader, where = share.life.request, f"block {block}" if block else "no block"
            raise Fault(
                f"{reader.request_id} {verb} token {position} in group {group} ({KINDS[group]}): {where}. "
                f"There should be {words(expected, reader)}, and there is {words(found, reader)}."
            )

    def _attend(self, group, step):
        """All keys and values are written; then the known tokens read what their attention spans."""
        size = BLOCK_SIZES[group]
        for share in step:
            request, table = share.life.request, share.tables[group]
            values = [content(request, p) for p in range(share.start, share.known)]
            values += share.drafts
            for position, value in enumerate(values, share.start):
                block = entry(table, position // size)
                if not block:
                    self._check(share, group, 0, 0, position, value, "writes")
                    break
                self.memory[group, block, position % size] = value
        for share in step:
            request, table = share.life.request, share.tables[group]
            if share.known == share.start:
                continue  # it was freed
            for position in range(FIRST_READ[group](share.start), share.known):
                block = entry(table, position // size)
                self._check(share, group, block, position % size, position, content(request, position))

    def _attend_across(self, group, step):
        """The encoder's output is written at a request's first step, and read whole at each."""
        size = BLOCK_SIZES[group]
        for reads in (False, True):
            for share in step:
                for position, value in enumerate(share.life.encoder):
                    block = entry(share.tables[group], position // size)
                    if reads:
                        self._check(share, group, block, position % size, position, value)
                    elif block and not share.life.encoded:
                        self.memory[group, block, position % size] = value
                share.life.encoded = share.life.encoded or reads

    def _tell_drafts(self, share):
        lower = share.life.rejected - share.rejected  # since it was scheduled
        share.start -= lower
        end = share.end - lower
        share.known = max(share.start, min(end, len(share.life.request.all_token_ids)))
        share.drafts = [("draft", id(share), n) for n in range(end - share.known)]
        share.life.last = share

    def accept(self, request, tokens):
        """So many tokens came: all but the last are drafts that were right."""
        life = self.lives.get(request.request_id)
        if life is None or life.last is None:
            return
        share, life.last = life.last, None
        end = share.known + tokens - 1
        life.rejected += share.known + len(share.drafts) - end
        for group in FIRST_READ:
            for position in range(share.known, end):
                block = entry(share.tables[group], position // BLOCK_SIZES[group])
                if block:
                    place = group, block, position % BLOCK_SIZES[group]
                    self.memory[place] = content(request, position)


def main():
    manager = make_manager()
    worker = Worker(manager)

    a = make_request("a", [0])

    # A step.
    worker.step_starts()
    # a: tokens [0, 1) are computed.
    a.num_computed_tokens = 0
    blocks = manager.allocate_slots(a, 1, num_encoder_tokens=3)
    worker.schedule(a, blocks, start=0, end=1, encoder=3)

    # A step.
    worker.step_starts()
    # a: tokens [1, 2) are computed.
    a.num_computed_tokens = 1
    blocks = manager.allocate_slots(a, 1)
    worker.schedule(a, blocks, start=1, end=2)

    # No other request holds a block: a new manager must refuse as this one does.
    fresh = make_manager()
    a = make_request("a", [0])
    found, *_ = fresh.get_computed_blocks(a)
    if blocks is None and fresh.allocate_slots(a, 2) is not None:
        raise Fault("a is refused, alone; a new manager admits it")
    worker.step_ends()
    worker.step_ends()


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        print(f"FAULT: {fault}")
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        print(f"FAULT: a legal call raised {type(error).__name__}: {error}")
        sys.exit(1)
    print("Every read found what it should: the fault does not show.")
