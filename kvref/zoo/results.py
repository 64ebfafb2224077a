"""What was measured on the zoo, as it is kept."""

from statistics import median

import msgspec

from kvref.zoo.bug import Bug, Level


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One bug, one driver and level: what it took to kill it, or what it outlived.

    `operations` were compared up to the first difference; seconds are of one processor. `reproducer` is the
    number of operations of the shrunk trace, None where there is none.
    """

    driver: str
    level: Level
    killed: bool
    cases: int
    operations: int
    seconds: float
    reproducer: int | None = None
    shown: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A bug, and its runs."""

    chapter: str
    name: str
    rule: str
    title: str
    origin: str
    hidden: dict[str, str]
    runs: list[Run]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The whole zoo: all cases follow from `seed`; a bug that outlived `nightly` cases lives."""

    seed: int
    ci: int
    nightly: int
    entries: list[Entry]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One driver and level, over the bugs that can show there."""

    driver: str
    level: Level
    bugs: int
    killed_by_ci: int
    killed: int
    operations: float
    seconds: float
    worst_operations: int
    reproducer: float | None


def entry_of(chapter: str, bug: Bug, runs: list[Run]) -> Entry:
    """A bug with what was measured."""
    return Entry(
        chapter=chapter,
        name=bug.name,
        rule=bug.rule,
        title=bug.title,
        origin=bug.origin,
        hidden={str(level): why for level, why in bug.hidden.items()},
        runs=runs,
    )


def scores(results: Results) -> list[Score]:
    """A score for each driver and level that was run."""
    runs: dict[tuple[str, Level], list[Run]] = {}
    for entry in results.entries:
        for run in entry.runs:
            runs.setdefault((run.driver, run.level), []).append(run)
    return [_score(driver, level, own, results.ci) for (driver, level), own in runs.items()]


def _score(driver: str, level: Level, runs: list[Run], ci: int) -> Score:
    killed = [run for run in runs if run.killed]
    lengths = [run.reproducer for run in killed if run.reproducer is not None]
    return Score(
        driver=driver,
        level=level,
        bugs=len(runs),
        killed_by_ci=sum(run.cases <= ci for run in killed),
        killed=len(killed),
        operations=median([run.operations for run in killed] or [0]),
        seconds=median([run.seconds for run in killed] or [0.0]),
        worst_operations=max([run.operations for run in killed] or [0]),
        reproducer=median(lengths) if lengths else None,
    )
