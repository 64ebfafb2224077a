"""What `kvref fuzz --coverage` shows: how much of vLLM's core files the campaign has run."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from kvref.cli.common import console, tell
from kvref.errors import UserError
from kvref.targets.base import Target
from kvref.targets.vllm.coverage_report import (
    Reached,
    missed_in,
    mistakes,
    page,
    reached_in,
    together,
    untaken_in,
)
from kvref.targets.vllm.line_coverage import FileCoverage
from kvref.targets.vllm.target import VllmTarget, open_vllm
from kvref.targets.vllm.unreached import RELEASE

A_MINUTE = 3000
"""About so many cases of 60 operations are played in a minute on one core, with lines and branches noted."""


def measuring(target: str, python: Path | None) -> VllmTarget:
    """The real vLLM, in a worker that notes which lines are run. Raises UserError for another target."""
    if target != f"vllm=={RELEASE}":
        raise UserError(f"--coverage knows the files of vllm=={RELEASE}, not those of {target}")
    return open_vllm(RELEASE, python, tell, measures=True)


def tell_coverage(target: Target, cases: int, seed: int, out: Path | None) -> list[str]:
    """Show what was run, and write it to the page `out`; what does not hold of the table of reasons."""
    assert isinstance(target, VllmTarget)  # noqa: S101 - opened by `measuring`
    measured = target.measured()
    if not measured.is_fast:
        tell("coverage.py has no compiled tracer for the worker's Python: lines are noted slowly")
    console.print(_table([reached_in(file) for file in measured.files]))
    console.print(_missed(measured.files))
    wrong = mistakes(measured.files)
    for line in wrong:
        tell(line)
    if out is not None:
        text = page(measured.files, f"kvref fuzz --coverage --seed {seed} --cases {cases}", cases)
        try:
            out.write_text(text)
        except OSError as failure:
            raise UserError(
                f"{out} cannot be written ({failure.strerror}): choose another place"
            ) from failure
    return wrong


def _table(files: Sequence[Reached]) -> Table:
    table = Table(title=f"lines and branches of vLLM {RELEASE}", title_justify="left")
    table.add_column("file")
    for column in ("lines", "reachable", "reached", "share", "branches", "taken"):
        table.add_column(column, justify="right")
    for one in (*files, together(files)):
        counts = (one.statements, one.reachable, one.reached, f"{one.share:.1%}", one.branches, one.taken)
        table.add_row(one.name, *map(str, counts))
    return table


def _missed(files: Sequence[FileCoverage]) -> Table:
    table = Table(title="not reached", title_justify="left")
    for column in ("file", "function", "lines", "why"):
        table.add_column(column, overflow="fold")
    for file in files:
        for one in missed_in(file):
            table.add_row(one.file, one.function, ", ".join(map(str, one.lines)), one.reason)
        for branch in untaken_in(file):
            table.add_row(
                branch.file, branch.function, f"branch {branch.start} to {branch.end}", branch.reason
            )
    return table
