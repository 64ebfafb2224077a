"""A small engine on vLLM's own scheduler, as its core makes one: run by the interpreter that has vLLM.

`engine.py SEED STEPS KIND` serves random requests, and prints a digest of all that it has scheduled. More words:
`async` for vLLM's asynchronous scheduler, `slow` for a model that takes a while, `defect` for a wrong manager,
`recorder` for a recorder that raises, `disk` for a disk that is full after 4 kB, `killed` for an end by SIGKILL.
"""

import hashlib
import logging
import os
import random
import resource
import signal
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2] / "reproducers"))

import scheduler as harness
from vllm.plugins import load_general_plugins
from vllm.v1.core.block_pool import BlockPool
from vllm.v1.request import RequestStatus

from kvref.targets.vllm.telling import Telling

# The harness silences vLLM's log, where ours is written.
logging.disable(logging.NOTSET)
LOG = logging.getLogger("vllm.kvref")
LOG.setLevel(logging.WARNING)
LOG.addHandler(logging.StreamHandler(sys.stderr))
LOG.propagate = False

KINDS = {
    "full": (harness.full,),
    "hybrid": (harness.full, lambda: harness.window(64)),
    "states": (harness.full, harness.mamba),
}


def serve(seed: int, steps: int, kind: str, asynchronous: bool) -> str:
    """Serve random requests for so many steps, and give a digest of what was planned."""
    scheduler = harness.build(
        *[spec() for spec in KINDS[kind]], blocks=40, budget=128, asynchronous=asynchronous
    )
    choices, arrived, digest = random.Random(seed), 0, hashlib.sha256()
    in_flight = []
    for _ in range(steps):
        time.sleep(0.01 * ("slow" in sys.argv))
        if choices.random() < 0.3:
            shared = [5] * choices.choice([16, 32, 64])
            prompt = shared + [choices.randrange(3) for _ in range(choices.randrange(1, 60))]
            scheduler.add_request(harness.request(f"r{arrived}", prompt, outputs=choices.randrange(1, 40)))
            arrived += 1
        if choices.random() < 0.03 and scheduler.requests:
            name = choices.choice(sorted(scheduler.requests))
            scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)
        plan = scheduler.schedule()
        tables = [[new.req_id, new.block_ids, new.num_computed_tokens] for new in plan.scheduled_new_reqs]
        digest.update(repr([tables, plan.num_scheduled_tokens, plan.scheduled_cached_reqs]).encode())
        in_flight.append((plan, harness.spans(plan)))
        if len(in_flight) > asynchronous:
            plan, spans = in_flight.pop(0)
            there = {name: span for name, span in spans.items() if name in scheduler.requests}
            ends = {name for name, span in there.items() if span.stop >= scheduler.requests[name].num_tokens}
            sampled = {name: [choices.randrange(3)] for name in sorted(ends)}
            scheduler.update_from_output(plan, harness.reply(plan, sampled))
    return digest.hexdigest()


def spoil_the_queue() -> None:
    """A defect, as one of vLLM's own might be: now and then a free block is sent to the end of the queue."""
    take, calls = BlockPool.get_new_blocks, count(1)

    def taken(self: Any, number: int) -> Any:
        if next(calls) % 50 == 0:
            self.free_block_queue.append(self.free_block_queue.popleft())
        return take(self, number)

    BlockPool.get_new_blocks = taken


def spoil_the_recorder() -> None:
    """A defect of ours: after a while, no request can be looked at any more."""
    look, calls = Telling.saw, count(1)

    def saw(self: Telling, request: Any, length: int) -> int:
        if next(calls) > 100:
            raise ValueError("this is ours")
        return look(self, request, length)

    Telling.saw = saw  # type: ignore[method-assign] # the defect


if __name__ == "__main__":
    if "defect" in sys.argv:
        spoil_the_queue()
    load_general_plugins()
    if "recorder" in sys.argv:
        spoil_the_recorder()
    if "disk" in sys.argv:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    print(serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], "async" in sys.argv), flush=True)
    if "killed" in sys.argv:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
