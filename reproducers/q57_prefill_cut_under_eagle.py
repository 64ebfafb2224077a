"""Q-57: a prefill that is cut in mid-block publishes its recurrent state as that of the whole block.

With EAGLE the scheduler lets a prompt's last tokens run as they come, not from block to block.
B takes most of a step's budget, so A's step ends in mid-block and leaves its state in that block.
The next step goes on to the next block; the one before, full of tokens now, gets the key of a whole block.
C continues A's dialogue, hits that block, and runs on from a state that has not seen the block's last tokens.
"""
# Upstream: #43559, fixed by #51113.

from collections.abc import Iterator
from functools import partial

from scheduler import States, build, full, mamba, request, tell


def story(tokens: int, cached: int) -> Iterator[str]:
    """Tell it of a prompt of so many tokens, some of which an earlier request left behind."""
    print(f"a prompt of {tokens} tokens, {cached} of them seen before")
    scheduler = build(full(), mamba(drafts=1), budget=40, drafts=1)
    worker = States(scheduler)
    prompt = [100 + index % 300 for index in range(tokens)]
    if cached:
        scheduler.add_request(request("W", prompt[:cached] + [5] * (tokens - cached), outputs=1))
        while scheduler.requests:
            worker.step()

    # Of a budget of 40 tokens B takes 30: ten are left for A.
    scheduler.add_request(request("B", [3] * 30, outputs=1))
    scheduler.add_request(request("A", prompt, outputs=10))
    while scheduler.requests:
        worker.step()

    yield from worker.resumed_by(request("C", prompt + [7] * 10 + [9] * 20))


if __name__ == "__main__":
    tell(partial(story, 217, 210), partial(story, 31, 0))
