"""Q-56: a whole prompt is loaded, and its last token computed again from what was never loaded.

A KV connector has all N tokens of a prompt, and the tables are bound for a request that has computed N.
When they are there, the scheduler steps back to N-1, because the first token has to be sampled; the tables
stay. The window or chunk of token N-1 may begin a block earlier: it reads the null block. A recurrent state
behind token N-1 is not there either: it reads the null block, or the token is applied to it a second time.
"""
# Upstream: no report known.

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from scheduler import (
    BLOCK,
    NULL,
    Remote,
    build,
    chunk,
    full,
    mamba,
    planned,
    reply,
    request,
    spans,
    table,
    tell,
    window,
)


def loaded(spec: Any, tokens: int) -> tuple[int, list[int]]:
    """Load a prompt of so many tokens; where its request starts then, and its table."""
    Remote.promised, Remote.in_background = {"A": tokens}, True
    scheduler = build(full(), spec, loads=True)
    scheduler.add_request(request("A", range(100, 100 + tokens)))
    loading = planned(scheduler)
    scheduler.update_from_output(loading, reply(loading, {}, loaded=["A"]))
    start = spans(scheduler.schedule())["A"].start
    print(f"A has {tokens} tokens loaded, and starts at token {start} with the table {table(scheduler, 'A')}")
    return start, table(scheduler, "A")


def attention(spec: Any, tokens: int, first: Callable[[int], int]) -> Iterator[str]:
    """Tell it of a group that attends from `first` on."""
    start, blocks = loaded(spec, tokens)
    for entry in range(first(start) // BLOCK, start // BLOCK + 1):
        if blocks[entry] == NULL:
            yield f"token {start} attends {first(start)}..{start}, and reads entry {entry}, the null block"


def states(tokens: int) -> Iterator[str]:
    """Tell it of a recurrent group, whose step reads the state behind the token before."""
    start, blocks = loaded(mamba(), tokens)
    entry = (start - 1) // BLOCK
    if blocks[entry] == NULL:
        yield f"token {start} starts from the state in entry {entry}, the null block"
    elif start < tokens:
        yield f"token {start} is applied to the state in entry {entry}, which is that after {tokens} tokens"


if __name__ == "__main__":
    tell(
        partial(attention, window(32), 47, lambda token: token - 31),
        partial(attention, chunk(32), 64, lambda token: token // 32 * 32),
        partial(states, 65),
        partial(states, 70),
    )
