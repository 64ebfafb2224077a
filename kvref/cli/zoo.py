"""`kvref zoo`: named bugs, and what kills them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from kvref.cli.common import DIVERGED, INTERRUPTED, console, needing, needing_torch, require_positive, tell
from kvref.errors import UserError
from kvref.zoo.bug import Bug, Driver, Level
from kvref.zoo.catalogue import BUGS, CHAPTERS, bug_called
from kvref.zoo.measure import Task, measure_all
from kvref.zoo.page import page as page_of
from kvref.zoo.progress import progress
from kvref.zoo.results import CASES, ENOUGH, LONGEST, Profile, Results, Run, Score, entry_of, scores

Runs = dict[tuple[Driver, Level], dict[str, Run]]


def zoo(
    *names: str,
    driver: Annotated[tuple[Driver, ...], Parameter(negative="")] = ("fuzz",),
    level: Annotated[tuple[Level, ...], Parameter(negative="")] = ("exact",),
    profile: Profile = "ci",
    seed: int = 1,
    workers: int = 1,
    shrink: bool = True,
    earlier: Path | None = None,
    json: Path | None = None,
    page: Path | None = None,
) -> int:
    """Kill the bugs of the zoo, and tell what it took: operations, seconds, and the shrunk reproducer.

    Exit code 1 if a target is missed: the CI profile kills nineteen in twenty of the bugs that can show at a
    level, the nightly one all; the median reproducer of the whole zoo has eight operations at the most.

    Parameters
    ----------
    names
        Bugs, by name; all of them, if none is given.
    driver
        What looks for them: the fuzzer's cases, or the state machine whose operations Hypothesis draws. May
        be given several times.
    level
        What must show them; may be given several times. A bug is left out where it cannot show.
    profile
        How many cases are played at the most; see docs/zoo.md. A bug is done with at its first kill.
    seed
        All cases follow from it.
    workers
        Processes. They change nothing but the time.
    shrink
        Whether what shows a bug is made as small as it gets.
    earlier
        What was measured before, as --json writes it: what is not run this time is taken from there.
    json
        Write what was measured.
    page
        Write it as a page, too.
    """
    require_positive(seed + 1, "--seed")
    require_positive(workers, "--workers")
    before = _read(earlier, seed)
    chosen = [bug_called(name) for name in names] or list(BUGS)
    tasks = [
        Task(bug=bug.name, driver=one, level=at, seed=seed, cases=CASES[one][profile], shrinks=shrink)
        for one in dict.fromkeys(driver)
        for at in dict.fromkeys(level)
        for bug in chosen
        if bug.shows_at(at)
    ]
    runs: Runs = {(one, at): {} for one in driver for at in level}
    interrupted = False
    try:
        with _needs(), progress(console) as note:
            for task, run in measure_all(tasks, workers):
                runs[task.driver, task.level][task.bug] = run
                note(task, run, len(tasks))
    except KeyboardInterrupt:
        interrupted = True
    for (one, at), own in runs.items():
        console.print(_table(one, at, chosen, own))
    results = _results(chosen, runs, seed)
    for score in scores(results):
        tell(_total(score, profile))
    if before is not None:
        known = {entry.name for entry in before.entries}
        results = _results([bug for bug in BUGS if bug in chosen or bug.name in known], runs, seed).after(
            before
        )
    _write(json, msgspec.json.format(msgspec.json.encode(results), indent=1).decode() + "\n")
    _write(page, page_of(results))
    if interrupted:
        tell("interrupted: what was not run is left out")
        return INTERRUPTED
    missed = [
        f"{score.driver}, level {score.level}: {what}"
        for score in scores(results)
        if (score.driver, score.level) in runs
        for what in score.misses(profile, is_whole=len(results.entries) == len(BUGS))
    ]
    for line in missed:
        tell(line)
    return DIVERGED if missed else 0


@contextmanager
def _needs() -> Iterator[None]:
    with needing_torch("a level with data"), needing("hypothesis", "testing", "driver hypothesis"):
        yield


def _read(earlier: Path | None, seed: int) -> Results | None:
    if earlier is None:
        return None
    try:
        results = msgspec.json.decode(earlier.read_bytes(), type=Results)
    except OSError as failure:
        raise UserError(f"{earlier} cannot be read ({failure.strerror}): leave out --earlier") from failure
    except msgspec.MsgspecError as failure:
        raise UserError(f"{earlier} is not what kvref zoo --json writes ({failure})") from failure
    if results.seed != seed:
        raise UserError(f"{earlier} is of seed {results.seed}: give --seed {results.seed}")
    return results


def _results(chosen: list[Bug], runs: Runs, seed: int) -> Results:
    entries = [
        entry_of(chapter, bug, [own[bug.name] for own in runs.values() if bug.name in own])
        for chapter, bugs in CHAPTERS.items()
        for bug in bugs
        if bug in chosen
    ]
    return Results(seed=seed, entries=entries)


def _table(driver: Driver, level: Level, bugs: list[Bug], runs: dict[str, Run]) -> Table:
    table = Table(title=f"{driver}, level {level}", title_justify="left", box=None)
    table.add_column("bug", overflow="fold")
    table.add_column("rule")
    for head in ("cases", "operations", "seconds", "reproducer"):
        table.add_column(head, justify="right")
    for bug in bugs:
        run = runs.get(bug.name)
        if run is None:
            why = f"hidden: {bug.hidden[level]}" if level in bug.hidden else "not run"
            table.add_row(bug.name, bug.rule, "", "", "", why)
            continue
        length = "lives" if not run.killed else "-" if run.reproducer is None else str(run.reproducer)
        numbers = (f"{run.cases:,}", f"{run.operations:,}", f"{run.seconds:.2f}")
        table.add_row(bug.name, bug.rule, *numbers, length)
    return table


def _total(one: Score, profile: Profile) -> str:
    """A driver and level in one line, with what is due of it."""
    killed = (
        f"{one.killed} of {one.bugs} bugs killed ({one.killed / one.bugs:.1%}; {ENOUGH[profile]:.0%} is due)"
    )
    took = f"median {one.operations:,.0f} operations and {one.seconds:.2f} s, worst {one.worst_operations:,} operations"
    length = (
        ""
        if one.reproducer is None
        else f"; median reproducer {one.reproducer:g} operations ({LONGEST} may be)"
    )
    return f"{one.driver}, level {one.level}: {killed}, {one.killed_by_ci} by CI's cases; {took}{length}"


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure
