"""Q-72: a streaming session stops with a step in flight, and that step's token lands behind its next input.

With asynchronous scheduling S samples its stop token while its next step is in flight. Its next input is there
already, and S goes on with it. Then the step in flight is over, and what it sampled behind the stop token is
appended behind the input, as if S had answered. From there on the worker's text and the scheduler's differ, and
keys are published for the scheduler's: C begins with them, and reads another text.
If the late token is a stop token, too, S is queued twice, and the scheduler ends.
"""
# Upstream: open: #52693, and the proposal #52765.

from collections.abc import Iterator
from typing import Any

from scheduler import build, full, request, tell
from worker import Worker

PROMPT, MORE, STOP = list(range(100, 130)), list(range(300, 340)), 9


def piece(tokens: list[int]) -> Any:
    """Give a session's input; it ends with a stop token."""
    given = request("S", tokens, resumable=True)
    given.sampling_params.stop_token_ids = [STOP]
    return given


def wrong_text() -> Iterator[str]:
    """Tell it of a late token that is none."""
    scheduler = build(full(), asynchronous=True)
    worker = Worker(scheduler)
    scheduler.add_request(piece(PROMPT))
    in_flight = [worker.launch(sampled=[STOP])]
    scheduler.add_request(piece(MORE))
    for token in range(50, 64):
        in_flight.append(worker.launch(sampled=[token]))
        scheduler.update_from_output(*in_flight.pop(0))
    text, own = list(scheduler.requests["S"].all_token_ids), worker.texts["S"]
    at = next((at for at, pair in enumerate(zip(text, own, strict=False)) if pair[0] != pair[1]), None)
    if at is not None:
        print(f"token {at} of S is {text[at]} for the scheduler, and {own[at]} for the worker")
    scheduler.add_request(request("C", [*text, 1]))
    worker.launch()
    yield from (wrong for wrong in worker.misreads if wrong.startswith("C"))


def raises() -> Iterator[str]:
    """Tell it of a late token that is a stop token."""
    scheduler = build(full(), asynchronous=True)
    worker = Worker(scheduler)
    scheduler.add_request(piece(PROMPT))
    in_flight = [worker.launch(sampled=[STOP])]
    scheduler.add_request(piece(MORE))
    try:
        for _ in range(4):
            in_flight.append(worker.launch(sampled=[STOP]))
            scheduler.update_from_output(*in_flight.pop(0))
    except (AssertionError, RuntimeError) as raised:
        yield f"the scheduler ends with {raised!r}"


if __name__ == "__main__":
    tell(wrong_text, raises)
