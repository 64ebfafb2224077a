"""Q-73: a reset that preempts with drafts in flight loses outputs, and the scheduler's text leaves the worker's.

With asynchronous scheduling A has a step with two drafts in flight when the cache is reset and all that runs is
preempted. What that step brings is to be dropped, and its tokens are counted, three: so three steps are
dropped, two of them good ones. And the drafts that it rejects are taken off what A has computed since.
The worker goes on behind what it sampled, the scheduler does not know of it: from there on their texts differ,
and keys are published for the scheduler's. C begins with it, and reads another text.
"""
# Upstream: a first part fixed by #42117; the proposals #49620 and #49860.

from collections.abc import Iterator

from scheduler import build, full, request, tell
from worker import Worker

PROMPT, DRAFTS = list(range(100, 130)), [5, 6]


def story() -> Iterator[str]:
    """Tell it of one request, all of whose drafts are rejected."""
    scheduler = build(full(), drafts=len(DRAFTS), asynchronous=True)
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    in_flight = [worker.launch(sampled=[50], drafts=DRAFTS)]
    in_flight.append(worker.launch(sampled=[51], drafts=DRAFTS))
    scheduler.update_from_output(*in_flight.pop(0))
    scheduler.reset_prefix_cache(reset_running_requests=True)
    for token in range(52, 80):
        in_flight.append(worker.launch(sampled=[token], drafts=DRAFTS))
        scheduler.update_from_output(*in_flight.pop(0))
    outputs, own = list(scheduler.requests["A"].output_token_ids), worker.texts["A"][len(PROMPT) :]
    if outputs != own[: len(outputs)]:
        yield f"A's outputs begin {outputs[:4]} for its user, and {own[:4]} for the worker"
    scheduler.add_request(request("C", [*PROMPT, *outputs]))
    worker.misreads.clear()
    worker.launch()
    yield from (wrong for wrong in worker.misreads if wrong.startswith("C"))


if __name__ == "__main__":
    tell(story)
