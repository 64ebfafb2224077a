"""Shows a fault of vLLM 0.23.0's KV cache manager; written by kvref.

It runs where vLLM 0.23.0 is installed, without a GPU and without a model. It calls the manager as a
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
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, ChunkedLocalAttentionSpec, FullAttentionSpec, SlidingWindowSpec
from vllm.v1.request import Request

hash_function = get_hash_fn_by_name("sha256_cbor")
init_none_hash(hash_function)
requests = []


def make_manager():
    return KVCacheManager(
        KVCacheConfig(
            num_blocks=15,
            kv_cache_tensors=[],
            kv_cache_groups=[
                KVCacheGroupSpec(
                    ["layer.0"], FullAttentionSpec(block_size=28, num_kv_heads=1, head_size=8, dtype=torch.float16)
                ),
                KVCacheGroupSpec(
                    ["layer.1"], ChunkedLocalAttentionSpec(block_size=28, num_kv_heads=1, head_size=8, dtype=torch.float16, attention_chunk_size=28)
                ),
                KVCacheGroupSpec(
                    ["layer.2"], SlidingWindowSpec(block_size=28, num_kv_heads=1, head_size=8, dtype=torch.float16, sliding_window=2)
                ),
            ],
        ),
        max_model_len=226,
        enable_caching=True,
        scheduler_block_size=28,
        hash_block_size=28,
        max_num_batched_tokens=82,
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
        block_hasher=get_request_block_hasher(28, hash_function),
    )
    requests.append(request)
    return request


# What a worker does. Groups are those of the manager, in their order.

BLOCK_SIZES = {0: 28, 1: 28, 2: 28}
KINDS = {0: 'full', 1: 'chunked', 2: 'sliding'}
FIRST_READ = {0: lambda start: 0, 1: lambda start: start // 28 * 28, 2: lambda start: max(0, start - 1)}  # a step that computes from token `start` on reads from here on


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


@dataclass
class Share:
    """A request's part of a step: it computes tokens [start, end)."""

    life: Life
    tables: list[list[int]]
    start: int
    end: int


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
        self.steps[-1].append(share)

    def _admit(self, request, encoder):
        tables = [list(table) for table in self.manager.get_block_ids(request.request_id)]
        life = self.lives[request.request_id] = Life(request, tables)
        return life

    def free(self, request):
        """Its steps run on, but nobody reads their results."""
        if request.request_id in self.lives:
            self.lives.pop(request.request_id).ended = True

    def step_ends(self):
        """The oldest step has run."""
        step = self.steps.pop(0)
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
            values = [content(request, p) for p in range(share.start, share.end)]
            for position, value in enumerate(values, share.start):
                block = entry(table, position // size)
                if not block:
                    self._check(share, group, 0, 0, position, value, "writes")
                    break
                self.memory[group, block, position % size] = value
        for share in step:
            request, table = share.life.request, share.tables[group]
            for position in range(FIRST_READ[group](share.start), share.end):
                block = entry(table, position // size)
                self._check(share, group, block, position % size, position, content(request, position))


def main():
    manager = make_manager()
    worker = Worker(manager)

    a = make_request("a", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    b = make_request("b", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    # a: tokens [0, 82) are computed.
    a.num_computed_tokens = 0
    blocks = manager.allocate_slots(a, 82)
    worker.schedule(a, blocks, start=0, end=82)
    worker.step_ends()

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    # a: tokens [82, 112) are computed.
    a.num_computed_tokens = 82
    blocks = manager.allocate_slots(a, 30)
    worker.schedule(a, blocks, start=82, end=112)
    worker.step_ends()
    manager.free(a)
    worker.free(a)

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    found, _ = manager.get_computed_blocks(b)
    # b: tokens [0, 112) are hit, tokens [112, 194) are computed.
    b.num_computed_tokens = 0
    blocks = manager.allocate_slots(b, 82, num_new_computed_tokens=112, new_computed_blocks=found, full_sequence_must_fit=True)
    worker.schedule(b, blocks, start=112, end=194)

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    # b: tokens [194, 225) are computed.
    b.num_computed_tokens = 194
    blocks = manager.allocate_slots(b, 31)
    worker.schedule(b, blocks, start=194, end=225)
    if blocks is None:
        raise Fault("b, admitted whole and alone, is refused slots for token 224")
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
