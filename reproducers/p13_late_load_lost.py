"""PROTO-13: a load in the background fails, or its request is aborted, and another hits its blocks or gets them.

What prevents a wrong read: such a load publishes no key before it is told as done, and then for the valid
tokens alone; and the blocks of an aborted request stay its own until the load is told as done. Of a model with
several groups the scheduler does not survive it: see Q-74.
"""
# Upstream: no report known.

from collections.abc import Iterator
from functools import partial

from scheduler import BLOCK, Remote, build, full, reply, request, table, tell
from vllm.v1.request import RequestStatus
from worker import Worker, lost

PROMPT, LOADED, VALID = list(range(100, 180)), 64, 32


def story(*, aborted: bool) -> Iterator[str]:
    """Tell it of a load that fails in part, or of one whose request has gone."""
    print("A is aborted while it loads" if aborted else "half of A's load is lost")
    Remote.promised, Remote.in_background = {"A": LOADED}, True
    scheduler = build(full(), blocks=20, loads=True, recomputes=True)
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    plan, answer = worker.launch()
    scheduler.update_from_output(plan, answer)
    held = table(scheduler, "A")
    if aborted:
        scheduler.finish_requests("A", RequestStatus.FINISHED_ABORTED)
    Remote.promised = {}
    scheduler.add_request(request("B", PROMPT))
    plan, answer = worker.launch()
    if set(held) & set(table(scheduler, "B")):
        yield "B has blocks that A's load is still written to"
    if not aborted:
        worker.load("A", VALID)
    scheduler.update_from_output(
        plan, lost(reply(plan, {"B": [7]}), held[VALID // BLOCK :] if not aborted else (), ["A"])
    )
    scheduler.finish_requests("B", RequestStatus.FINISHED_ABORTED)
    scheduler.reset_prefix_cache()
    scheduler.add_request(request("C", PROMPT))
    worker.launch()
    yield from worker.misreads


if __name__ == "__main__":
    tell(partial(story, aborted=False), partial(story, aborted=True))
