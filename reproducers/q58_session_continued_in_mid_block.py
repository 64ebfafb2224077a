"""Q-58: a streaming session that goes on in mid-block publishes a recurrent state that is too early.

A session has computed 202 tokens, and waits: its state is in table entry 12, the block of tokens 192 to 207.
70 more tokens arrive and are computed in one step, 202 to 271; the state moves on to entry 16.
Entry 12 keeps the state after 202 tokens, and gets the key of the state after 208.
C begins with the same 215 tokens, hits 208, and runs on from a state that has not seen tokens 202 to 207.
"""
# Upstream: no report known.

from collections.abc import Iterator
from typing import Any

from scheduler import States, build, full, mamba, request, tell

PROMPT, MORE = list(range(100, 300)), list(range(300, 370))


def story() -> Iterator[str]:
    """Tell it: no drafts, no scarce budget, no scarce blocks."""
    scheduler = build(full(), mamba())
    worker = States(scheduler)

    def run(piece: Any) -> None:
        scheduler.add_request(piece)
        while scheduler.requests["S"].status.name != "WAITING_FOR_STREAMING_REQ":
            worker.step()

    run(request("S", PROMPT, outputs=3, resumable=True))
    run(request("S", MORE, outputs=2, resumable=True))

    # The last sampled token of the first piece was never computed: two 7s, then what arrived.
    yield from worker.resumed_by(request("C", PROMPT + [7, 7] + MORE[:13] + [9] * 10))


if __name__ == "__main__":
    tell(story)
