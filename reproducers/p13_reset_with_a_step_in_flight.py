"""PROTO-13: a reset preempts a request with a step in flight, whose keys were published.

What prevents a wrong read: all references are gone with the preemptions, so the reset takes every key; the step
in flight runs before those that get its blocks; and what it samples is dropped. With drafts too much is: see Q-73.
While a load in the background holds blocks, the reset is refused, and the scheduler raises.
"""
# Upstream: no report known.

from collections.abc import Iterator

from scheduler import build, full, request, tell
from worker import Worker

PROMPT = list(range(100, 180))


def story() -> Iterator[str]:
    """Tell it of an asynchronous scheduler without drafts."""
    scheduler = build(full(), blocks=16, asynchronous=True)
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    in_flight = [worker.launch(sampled=[50])]
    scheduler.reset_prefix_cache(reset_running_requests=True)
    scheduler.add_request(request("B", PROMPT))
    for token in range(51, 58):
        in_flight.append(worker.launch(sampled=[token]))
        scheduler.update_from_output(*in_flight.pop(0))
    yield from worker.misreads
    for name in ("A", "B"):
        outputs = list(scheduler.requests[name].output_token_ids)
        own = worker.texts[name][len(PROMPT) :]
        print(f"{name} has brought {outputs}")
        if outputs != own[: len(outputs)]:
            yield f"{name}'s outputs are {outputs} for its user, and {own} for the worker"


if __name__ == "__main__":
    tell(story)
