"""Q-74: a load that fails ends the scheduler, where the model has more than one KV cache group.

A KV connector loads A's tokens in the background, and tells that a block was not loaded. The scheduler looks
for it in A's table, and takes a table to be that of one group.
"""
# Upstream: #45474, and #50388.

from collections.abc import Iterator

from scheduler import Remote, build, full, planned, reply, request, table, tell, window
from worker import lost

PROMPT, LOADED = list(range(100, 148)), 32


def story() -> Iterator[str]:
    """Tell it of full attention and a window."""
    Remote.promised, Remote.in_background = {"A": LOADED}, True
    scheduler = build(full(), window(32), loads=True, recomputes=True)
    scheduler.add_request(request("A", PROMPT))
    plan = planned(scheduler)
    try:
        scheduler.update_from_output(plan, lost(reply(plan, {}), table(scheduler, "A", 0)[:1], ["A"]))
    except ValueError as raised:
        yield f"the scheduler ends with {raised!r}"


if __name__ == "__main__":
    tell(story)
