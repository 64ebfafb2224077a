"""PROTO-13: a request is aborted with a step in flight, and leaves keys of what that step computes.

The keys of A's prompt are published when its step is planned. A is aborted while the step is in flight; its
blocks are free, with their keys. B hits them, or D gets them for another text.
What prevents a wrong read: no abort comes between planning a step and launching it, and a step that was launched
runs, before any step that is launched later, whatever became of its requests.
"""
# Upstream: no report known.

from collections.abc import Iterator
from functools import partial

from scheduler import build, full, request, tell
from vllm.v1.request import RequestStatus
from worker import Worker

PROMPT = list(range(100, 180))


def story(*, asynchronous: bool) -> Iterator[str]:
    """Tell it of each scheduler; the plain one hears of an abort when its step has run."""
    print("an asynchronous scheduler" if asynchronous else "a plain scheduler")
    scheduler = build(full(), blocks=16, asynchronous=asynchronous)
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    first = worker.launch()
    scheduler.finish_requests("A", RequestStatus.FINISHED_ABORTED)
    if not asynchronous:
        scheduler.update_from_output(*first)
    for name, tokens in (("B", PROMPT), ("D", [3] * len(PROMPT))):
        scheduler.add_request(request(name, tokens))
    plan, _ = worker.launch()
    hits = {new.req_id: new.num_computed_tokens for new in plan.scheduled_new_reqs}
    print(f"B and D are admitted with {hits} tokens hit")
    yield from worker.misreads


if __name__ == "__main__":
    tell(partial(story, asynchronous=False), partial(story, asynchronous=True))
