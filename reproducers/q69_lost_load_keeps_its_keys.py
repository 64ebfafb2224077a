"""Q-69: the keys of external tokens that were not loaded stay, and whoever hits them reads nothing.

A KV connector has 128 of A's 192 tokens, and they are loaded within A's first step: the keys of their blocks
are published with it. The load fails. The scheduler lets A compute them again, and leaves the keys.
If the next step computes only some of them, or A is aborted first, B hits the others and reads what was never
written.
"""
# Upstream: open: #49250 (of requests that share the blocks).

from collections.abc import Iterator
from functools import partial
from typing import Any

from scheduler import BLOCK, Remote, build, full, request, table, tell
from vllm.v1.request import RequestStatus
from worker import Worker, lost

PROMPT, LOADED = list(range(100, 292)), 128


def story(*, aborted: bool) -> Iterator[str]:
    """Tell it of A that goes on in chunks of 64 tokens, or is aborted."""
    print("A is aborted" if aborted else "A computes 64 tokens a step")
    Remote.promised, Remote.in_background = {"A": LOADED}, False
    scheduler = _built()
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    plan, answer = worker.launch()
    worker.misreads.clear()  # what A computed is dropped
    never = table(scheduler, "A")[: LOADED // BLOCK]
    scheduler.update_from_output(plan, lost(answer, never))
    print(f"the blocks {never} were not loaded; A is to compute again from token {_computed(scheduler)}")
    if aborted:
        scheduler.finish_requests("A", RequestStatus.FINISHED_ABORTED)
    scheduler.add_request(request("B", PROMPT))
    worker.launch()
    yield from worker.misreads


def _computed(scheduler: Any) -> int:
    return int(scheduler.requests["A"].num_computed_tokens)


def _built() -> Any:
    return build(full(), loads=True, recomputes=True, long_prefill_token_threshold=64)


if __name__ == "__main__":
    tell(partial(story, aborted=False), partial(story, aborted=True))
