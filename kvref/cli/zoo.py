"""`kvref zoo`: named bugs, and what kills them."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.table import Table

from kvref.cli.common import DIVERGED, console, needing_torch, require_positive, tell
from kvref.errors import UserError
from kvref.zoo.bug import Bug, Level
from kvref.zoo.catalogue import BUGS, CHAPTERS, bug_called
from kvref.zoo.measure import CASES, measure
from kvref.zoo.page import page as page_of
from kvref.zoo.results import Results, Run, entry_of, scores

ENOUGH = {"ci": 0.95, "nightly": 1.0}
"""The share of bugs that a profile must kill."""


def zoo(
    *names: str,
    level: Annotated[tuple[Literal["exact", "safe", "invariants"], ...], Parameter(negative="")] = ("exact",),
    profile: Literal["ci", "nightly"] = "ci",
    seed: int = 1,
    shrink: bool = True,
    json: Path | None = None,
    page: Path | None = None,
) -> int:
    """Kill the bugs of the zoo, and tell what it took: operations, seconds, and the shrunk reproducer.

    Exit code 1 if more bugs live than the profile allows: none after the nightly one, one in twenty after CI's.

    Parameters
    ----------
    names
        Bugs, by name; all of them, if none is given.
    level
        What must show them; may be given several times. A bug is left out where it cannot show.
    profile
        How many cases are played at the most: 400 or 25,000, of sixty operations each.
    seed
        All cases follow from it.
    shrink
        Whether what shows a bug is made as small as it gets.
    json
        Write what was measured.
    page
        Write it as a page, too.
    """
    require_positive(seed + 1, "--seed")
    chosen = [bug_called(name) for name in names] or list(BUGS)
    cases = CASES[profile]
    runs: dict[str, list[Run]] = {bug.name: [] for bug in chosen}
    for one in level:
        with needing_torch("level safe"):
            measured = measure(one, chosen, seed, cases, shrinks=shrink, tell=tell)
        for name, run in measured.items():
            runs[name].append(run)
        console.print(_table(one, chosen, measured))
    entries = [
        entry_of(chapter, bug, runs[bug.name])
        for chapter, bugs in CHAPTERS.items()
        for bug in bugs
        if bug.name in runs
    ]
    results = Results(seed=seed, ci=CASES["ci"], nightly=cases, entries=entries)
    for score in scores(results):
        told = "" if score.reproducer is None else f"; median reproducer {score.reproducer:g} operations"
        tell(
            f"level {score.level}: {score.killed} of {score.bugs} killed, {score.killed_by_ci} within "
            f"{results.ci} cases; median {score.operations:,.0f} operations{told}"
        )
    _write(json, msgspec.json.format(msgspec.json.encode(results), indent=1).decode() + "\n")
    _write(page, page_of(results))
    short = [score for score in scores(results) if score.killed < ENOUGH[profile] * score.bugs]
    return DIVERGED if short else 0


def _table(level: Level, bugs: list[Bug], runs: dict[str, Run]) -> Table:
    table = Table(title=f"level {level}", title_justify="left", box=None)
    table.add_column("bug", overflow="fold")
    table.add_column("rule")
    for head in ("cases", "operations", "seconds", "reproducer"):
        table.add_column(head, justify="right")
    for bug in bugs:
        run = runs.get(bug.name)
        if run is None:
            table.add_row(bug.name, bug.rule, "", "", "", f"hidden: {bug.hidden[level]}")
            continue
        length = "lives" if not run.killed else "-" if run.reproducer is None else str(run.reproducer)
        numbers = (f"{run.cases:,}", f"{run.operations:,}", f"{run.seconds:.2f}")
        table.add_row(bug.name, bug.rule, *numbers, length)
    return table


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure
