"""`kvref check`: every small state."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from kvref.check.configurations import named, scope
from kvref.check.explore import Explored, explore
from kvref.cli.common import DIVERGED, console, opened_target, require_positive, tell
from kvref.errors import UserError
from kvref.fuzz.report import difference_table, write_trace
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.reference import ReferenceSession

SECONDS_A_LINE = 60.0


def check(
    *names: str,
    target: str = "optimized",
    blocks: int = 2,
    requests: int = 1,
    tokens: int = 2,
    letters: int = 2,
    by_hand: bool = True,
    most_states: int | None = None,
    findings: Annotated[Path, Parameter(help="The folder that a counterexample is written to.")] = Path(
        "findings"
    ),
) -> int:
    """Visit every small state: all that a legal scheduler can do, breadth-first, on a target and the reference.

    Parameters
    ----------
    names
        Configurations by name (`full`, `sliding`, `full+mamba`, ...); a few of them, if none is given.
    target
        A target in this process: `optimized`, `reference`, or `compiled` where it is built.
    blocks
        Blocks that can be used.
    requests
        Requests alive at once. Two are more than twenty times as many states as one.
    tokens
        The longest a request gets, in tokens.
    letters
        Token values.
    by_hand
        Whether blocks are evicted by hand, and the cache is reset.
    most_states
        Stop after so many states a configuration.
    findings
        The folder that a counterexample is written to.
    """
    for value, option in ((blocks, "--blocks"), (requests, "--requests"), (letters, "--letters")):
        require_positive(value, option)
    require_positive(tokens - 1, "--tokens less one")
    opened = opened_target(target, None)
    if not isinstance(opened, InProcessTarget):
        opened.close()
        raise UserError(f"kvref check needs a target in this process, not {target}: use kvref fuzz")
    table = Table("configuration", "states", "transitions", "depth", "transitions a second", "result")
    diverged = 0
    for name in named(names):
        limits = scope(
            name, blocks=blocks, requests=requests, tokens=tokens, letters=letters, by_hand=by_hand
        )
        began, told = time.process_time(), time.monotonic()

        def on_state(seen: Explored, name: str = name) -> None:
            nonlocal told
            if time.monotonic() - told >= SECONDS_A_LINE:
                told = time.monotonic()
                tell(f"{name}: {seen.states} states, {seen.transitions} transitions, depth {seen.depth}")

        seen = explore(limits, ReferenceSession, opened.opener, most_states, on_state)
        rate = seen.transitions / max(time.process_time() - began, 1e-9)
        row = (name, seen.states, seen.transitions, seen.depth, round(rate), _result(seen))
        table.add_row(*map(str, row))
        if seen.trace is not None:
            diverged += 1
            path = write_trace(findings / f"check-{name}", seen.trace)
            console.print(difference_table(seen.wrong, opened.name))
            tell(f"{len(seen.trace.operations)} operations: kvref replay {path} --target {target}")
    console.print(table)
    return DIVERGED if diverged else 0


def _result(seen: Explored) -> str:
    if seen.trace is not None:
        return "counterexample"
    return "exhausted" if seen.complete else "no counterexample within the states visited"
