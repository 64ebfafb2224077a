"""`kvref shrink`: the smallest trace that shows what a given one shows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from kvref.cli.common import DIVERGED, console, needing_torch, require_positive, tell
from kvref.cli.loading import load
from kvref.cli.tested import Tested, as_asked
from kvref.errors import UserError
from kvref.fuzz import shrink as shrinking
from kvref.fuzz.report import SECONDS_A_LINE, tell_finding, write_json
from kvref.fuzz.safe import require_live
from kvref.fuzz.settings import Level
from kvref.fuzz.shows import Shows
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shows_invariants import Invariants
from kvref.fuzz.shrink import BUDGET, Shrunk
from kvref.judge import Finding
from kvref.operations import Trace
from kvref.targets.base import Target
from kvref.targets.named import Named
from kvref.targets.reference import ReferenceSession

ENDINGS: Final = {
    "minimal": "nothing smaller shows it",
    "budget": "the budget is spent: a larger --budget may do better",
    "interrupt": "interrupted",
}


def shrink(
    trace: Path,
    *,
    tested: Tested = Tested(),
    level: Level = "exact",
    out: Path | None = None,
    budget: int = BUDGET,
) -> int:
    """Find the smallest trace that shows what a given one shows on a target.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does.
    level
        `exact`: what differs from the reference; `invariants`: what must always hold, on a target in
        this process; `safe`: what is read wrong, lost or never ends; `hits`: other hits and refusals, too.
    out
        The file to write; beside the trace, with `-small` behind its name, if it is not given.
    budget
        How many smaller traces are tried at the most. Ctrl-C ends it earlier, and keeps the smallest.
    """
    require_positive(budget, "--budget")
    loaded = load(trace)
    opened = tested.open(level)
    try:
        small = shrunk(loaded, opened, level, budget)
    finally:
        opened.close()
    if small is None:
        told = f"{trace} shows nothing on {opened.name} at level {level}"
        console.print(told, highlight=False, soft_wrap=True)
        return 0
    path = out or small_path(trace)
    write_json(path, small.trace)
    named = tested.named
    tell_finding(console, finding_of(small), opened.name, path, named=named.options, level=level)
    tell_more(loaded, small, named, trace, path, level)
    return DIVERGED


def small_path(path: Path) -> Path:
    """Where the smallest form of a trace is kept."""
    return path.with_name(f"{path.stem}-small.json")


def finding_of(small: Shrunk) -> Finding:
    """What a shrunk trace shows."""
    return Finding(small.trace, next(reversed(small.trace.operations), None), small.wrong)


def tell_more(trace: Trace, small: Shrunk, named: Named, whole: Path, path: Path, level: Level) -> None:
    """What came of shrinking the trace at `whole`, and how to go on with its smallest form at `path`."""
    known = f"known as {small.known}; " if small.known else ""
    before, left = len(trace.operations), len(small.trace.operations)
    tell(
        f"shrunk     {before} operations are {left} after {small.attempts} attempts; {known}{ENDINGS[small.ending]}"
    )
    at = "" if level == "exact" else f" --level {level}"
    if level != "invariants":
        tell(f"whole      kvref replay {whole} {named.options}{at}")
    if level == "exact":
        tell(f"as a test  kvref reproducer {path} --api kvref")
    if named.command is None and named.name.startswith("vllm") and level != "hits":
        tell(f"in vLLM's  kvref reproducer {path} --api vllm{at or ' --level exact'}")


def shrunk(trace: Trace, target: Target, level: Level, budget: int) -> Shrunk | None:
    """The smallest form of a trace, None if it shows nothing. Raises UserError if it cannot be tried."""
    shows = _shows(trace, target, level)
    with _progress(len(trace.operations), budget) as told:
        return shrinking.shrink(trace, shows, budget=budget, progress=told)


def _shows(trace: Trace, target: Target, level: Level) -> Shows:
    if level == "exact":
        return Exact(ReferenceSession, target, trace)
    if level == "invariants":
        opener = getattr(target, "opener", None)
        if opener is None:
            raise UserError(f"level invariants needs a target in this process, not {target.name}: use exact")
        return Invariants(opener, trace)
    with needing_torch(f"level {level}"):
        from kvref.fuzz.shows_safe import Safe  # noqa: PLC0415
    return Safe(require_live(as_asked(target, level)))


@contextmanager
def _progress(operations: int, budget: int) -> Iterator[shrinking.Progress]:
    """Shows how far it is: a bar on a terminal, one line a minute elsewhere."""

    def status(attempts: int, left: int) -> str:
        return f"shrinking: {attempts} attempts, {left} of {operations} operations left"

    if console.is_terminal:
        columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, refresh_per_second=4, transient=True) as bar:
            task = bar.add_task(status(0, operations), total=budget)
            yield lambda attempts, left: bar.update(
                task, completed=attempts, description=status(attempts, left)
            )
        return
    last = time.monotonic()

    def each_minute(attempts: int, left: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_A_LINE:
            last = time.monotonic()
            tell(status(attempts, left))

    yield each_minute
