"""Q-70: a token that was sampled from what was never loaded is delivered.

With asynchronous scheduling A's second step is launched before the first has told that A's external tokens
were not loaded. The scheduler drops what the first step sampled, and has A compute from there again.
The second step has read the same, and what it sampled becomes A's first output.
"""
# Upstream: open: told in the proposal #56733 (of several groups).

from collections.abc import Iterator

from scheduler import BLOCK, Remote, build, full, request, table, tell
from worker import Worker, lost

PROMPT, LOADED = list(range(100, 148)), 32


def story() -> Iterator[str]:
    """Tell it of one request."""
    Remote.promised, Remote.in_background = {"A": LOADED}, False
    scheduler = build(full(), loads=True, recomputes=True, asynchronous=True)
    worker = Worker(scheduler)
    scheduler.add_request(request("A", PROMPT))
    first = worker.launch(sampled=[11])
    second = worker.launch(sampled=[12])
    never = table(scheduler, "A")[: LOADED // BLOCK]
    scheduler.update_from_output(first[0], lost(first[1], never))
    a = scheduler.requests["A"]
    print(f"the blocks {never} were not loaded; A is to compute again from token {a.num_computed_tokens}")
    scheduler.update_from_output(*second)
    outputs = list(a.output_token_ids)
    if outputs:
        yield f"A's outputs are {outputs}: sampled in its second step, in which {worker.misreads[-1]}"


if __name__ == "__main__":
    tell(story)
