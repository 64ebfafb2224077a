"""Q-55: a sliding window forgets tokens for drafts that are then rejected.

Step k verifies three drafts of A. Asynchronous scheduling plans step k+1 before it knows the outcome, counts
all three as accepted, and releases the block in front of the window that A would then have.
Step k rejects them. Step k+1 computes three tokens earlier, and its window reaches back into that block:
A reads what the block's next owner writes, which may be B in this very step.
"""
# Upstream: fixed by #47728; seen in the field: vllm-ascend#13501.

from collections.abc import Iterator
from functools import partial

from scheduler import BLOCK, NULL, build, full, holders, reply, request, spans, table, tell, window

WINDOW, DRAFTS = 32, 3


def story(blocks: int, *, caching: bool) -> Iterator[str]:
    """Tell it in a pool of so many blocks."""
    print(f"{blocks} blocks, prefix caching {'on' if caching else 'off'}")
    scheduler = build(
        full(), window(WINDOW), blocks=blocks, caching=caching, drafts=DRAFTS, asynchronous=True
    )

    # A's prompt is planned, and at once step k: as in the engine, two steps are in flight.
    scheduler.add_request(request("A", range(100, 143)))
    prefill, step_k = scheduler.schedule(), scheduler.schedule()
    told = table(scheduler, "A")  # the worker only ever appends to this
    scheduler.update_from_output(prefill, reply(prefill, {"A": [7]}))

    # Step k+1 is planned with step k in flight, and B joins it.
    scheduler.add_request(request("B", range(200, 216)))
    following = scheduler.schedule()
    planned = spans(following)["A"].start

    # Step k: one token, every draft rejected.
    scheduler.update_from_output(step_k, reply(step_k, {"A": [8]}))
    query = planned - len(step_k.scheduled_spec_decode_tokens["A"])
    first = query - WINDOW + 1
    print(
        f"step k+1 was planned at token {planned}; it computes token {query}, which attends {first}..{query}"
    )

    now = table(scheduler, "A")
    print(f"A's window table {now}; the worker's {told}")
    for entry in range(first // BLOCK, query // BLOCK + 1):
        if now[entry] == NULL:
            tokens = f"{max(first, entry * BLOCK)}..{entry * BLOCK + BLOCK - 1}"
            yield f"A reads tokens {tokens} in block {told[entry]}, released, and given to {holders(scheduler, told[entry])}"


if __name__ == "__main__":
    tell(partial(story, 1000, caching=False), partial(story, 12, caching=True))
