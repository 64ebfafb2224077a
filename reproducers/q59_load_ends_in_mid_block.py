"""Q-59: a load that ends in mid-block publishes a recurrent state that is too early.

A KV connector has 202 of A's 240 prompt tokens; their state is loaded into the block of tokens 192 to 207.
The scheduler takes the 202 as they are, computes the rest in one step, and the state moves on by two blocks.
The block keeps the state after 202 tokens, and gets the key of the state after 208.
C begins with the same 215 tokens, hits 208, and runs on from a state that has not seen tokens 202 to 207.
"""
# Upstream: no report known.

from collections.abc import Iterator
from functools import partial

from scheduler import Remote, States, build, full, mamba, request, tell

PROMPT, LOADED = list(range(100, 340)), 202


def story(*, in_background: bool) -> Iterator[str]:
    """Tell it of a load within the step, or of one that the request waits for."""
    print("loaded", "in the background" if in_background else "within the step")
    Remote.promised, Remote.in_background = {"A": LOADED}, in_background
    scheduler = build(full(), mamba(), loads=True)
    worker = States(scheduler)
    scheduler.add_request(request("A", PROMPT, outputs=4))
    while scheduler.requests:
        worker.step()
    yield from worker.resumed_by(request("C", PROMPT[:215] + [9] * 20))


if __name__ == "__main__":
    tell(partial(story, in_background=False), partial(story, in_background=True))
