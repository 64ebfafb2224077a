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
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, MambaSpec
from vllm.v1.request import Request

hash_function = get_hash_fn_by_name("sha256_cbor")
init_none_hash(hash_function)
requests = []


def make_manager():
    return KVCacheManager(
        KVCacheConfig(
            num_blocks=10,
            kv_cache_tensors=[],
            kv_cache_groups=[
                KVCacheGroupSpec(
                    ["layer.0"], MambaSpec(block_size=1, shapes=((1, 8),), dtypes=(torch.float16,), mamba_cache_mode="align", num_speculative_blocks=3)
                ),
            ],
        ),
        max_model_len=3,
        enable_caching=True,
        scheduler_block_size=1,
        hash_block_size=1,
        max_num_batched_tokens=None,
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
        block_hasher=get_request_block_hasher(1, hash_function),
    )
    requests.append(request)
    return request


# What a worker does. Groups are those of the manager, in their order.

BLOCK_SIZES = {0: 1}
KINDS = {0: 'mamba'}
STATES = [0]
ALIGNED = [0]


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
    states: dict[int, int] = field(default_factory=dict)  # by group, the block of the running state
    rejected: int = 0  # drafts so far
    last: "Share | None" = None  # what has run last
    loading: tuple[int, int] = (0, 0)


@dataclass
class Share:
    """A request's part of a step: it computes tokens [start, end)."""

    life: Life
    tables: list[list[int]]
    start: int
    end: int
    hit: int = 0  # from here to `start`, tokens are loaded
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
                if group in ALIGNED and new:  # a block that comes again has moved
                    life.tables[group] = [0 if block in new else block for block in life.tables[group]]
                life.tables[group].extend(new)
        share = Share(life, list(life.tables), start, end)
        share.hit = start if hit is None else hit
        share.rejected = life.rejected
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
        for share in step:
            self._tell_drafts(share)
            self.load(share.life.request, share.tables, share.hit, share.start)
        for group in STATES:
            self._advance(group, step)

    def _check(self, share, group, block, offset, position, expected, verb="reads"):
        found = self.memory.read(group, block, offset) if block else "nothing"
        if (found != expected or verb == "writes") and not share.life.ended:
            reader, where = share.life.request, f"block {block}" if block else "no block"
            raise Fault(
                f"{reader.request_id} {verb} token {position} in group {group} ({KINDS[group]}): {where}. "
                f"There should be {words(expected, reader)}, and there is {words(found, reader)}."
            )

    def _advance(self, group, step):
        """All recurrent states are read before any is written."""
        size = BLOCK_SIZES[group]
        for share in step:
            request, last = share.life.request, share.start - 1
            if 0 <= last < len(request.all_token_ids):
                block = share.life.states.get(group) or entry(share.tables[group], last // size)
                self._check(share, group, block, 0, last, content(request, last))
        for share in step:
            self._leave_states(group, share)

    def _leave_states(self, group, share):
        """A state behind the known tokens, one behind each draft, and those at the ends of blocks."""
        if share.known == share.start:
            return  # it was freed
        last = share.known - 1
        for drafted, value in enumerate([content(share.life.request, last), *share.drafts]):
            block = self._state_block(group, share, drafted)
            if not block:
                self._check(share, group, 0, 0, last + drafted, value, "writes")
            self.memory[group, block, 0] = value
        if group not in ALIGNED:
            self._copy_ends(group, share, share.start + 1, share.known)
        self._settle(group, share, share.known)

    def _settle(self, group, share, end):
        """The state behind `end` tokens is the running one."""
        block = self._state_block(group, share, end - share.known)
        if block:
            self.memory[group, block, 0] = content(share.life.request, end - 1)
            share.life.states[group] = block
        self._copy_ends(group, share, share.known, end)

    def _copy_ends(self, group, share, first, last):
        for end in range(first, last + 1):
            whole, rest = divmod(end, BLOCK_SIZES[group])
            block = entry(share.tables[group], whole - 1) if whole and not rest else 0
            if block:
                self.memory[group, block, 0] = content(share.life.request, end - 1)

    def _state_block(self, group, share, drafted):
        end = share.known
        if group in ALIGNED:  # laid out for the step as it was scheduled
            end = share.end
        return entry(share.tables[group], -(-end // BLOCK_SIZES[group]) - 1 + drafted)

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
        for group in STATES:
            self._settle(group, share, end)

    def load(self, request, tables, start, end):
        """External tokens arrive wherever there is a block for them."""
        for group in STATES:
            block = entry(tables[group], (end - 1) // BLOCK_SIZES[group]) if start < end else 0
            if block:
                self.memory[group, block, 0] = content(request, end - 1)

    def schedule_load(self, request, new_blocks, start, end, encoder=0):
        """Tokens [start, end) are loaded in the background; nothing is computed."""
        if new_blocks is not None:
            self._admit(request, encoder).loading = (start, end)

    def loaded(self, request, valid):
        """The load in the background is done, as far as it is valid."""
        life = self.lives[request.request_id]
        start, end = life.loading
        self.load(request, life.tables, start, min(valid, end))
        life.loading = (0, 0)


def main():
    manager = make_manager()
    worker = Worker(manager)

    a = make_request("a", [0])

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    # a: tokens [0, 1) are computed.
    a.num_computed_tokens = 0
    blocks = manager.allocate_slots(a, 1)
    worker.schedule(a, blocks, start=0, end=1)
    b = make_request("b", [0, 0])

    # A step.
    manager.new_step_starts()
    worker.step_starts()
    # a: tokens [1, 2) are computed.
    a.num_computed_tokens = 1
    blocks = manager.allocate_slots(a, 1)
    worker.schedule(a, blocks, start=1, end=2)
    # b: tokens [0, 1) are loaded in this step, tokens [1, 2) are computed.
    b.num_computed_tokens = 0
    blocks = manager.allocate_slots(b, 1, num_external_computed_tokens=1)
    worker.schedule(b, blocks, start=1, end=2, hit=0)
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
