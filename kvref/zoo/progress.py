"""Shows the zoo at work: a bar on a terminal, a line a minute elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kvref.zoo.measure import Task
from kvref.zoo.results import Run

SECONDS_A_LINE = 60.0

Note = Callable[[Task, Run, int], object]
"""Told of each task that is done, and of how many there are."""


@contextmanager
def progress(console: Console) -> Iterator[Note]:
    """What is to be told of each task."""
    began = told = time.monotonic()
    done = operations = living = 0

    def count(task: Task, run: Run) -> str:
        nonlocal done, operations, living
        done += 1
        operations += run.operations
        living += not run.killed
        rate = operations / (time.monotonic() - began)
        return f"{task.driver}, level {task.level}: {operations:,} operations, {rate:,.0f} a second, {living} live"

    if console.is_terminal:
        columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.description}"), console=console, transient=True) as bar:
            shown = bar.add_task("starting")
            yield lambda task, run, total: bar.update(
                shown, total=total, advance=1, description=count(task, run)
            )
        return

    def tell(task: Task, run: Run, total: int) -> None:
        nonlocal told
        line = count(task, run)
        if time.monotonic() - told >= SECONDS_A_LINE:
            told = time.monotonic()
            console.print(f"{done}/{total} {line}", soft_wrap=True, highlight=False)

    yield tell
