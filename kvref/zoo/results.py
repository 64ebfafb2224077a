"""What was measured on the zoo, as it is kept."""

from math import ceil
from statistics import median
from typing import Final, Literal

import msgspec

from kvref.zoo.bug import Bug, Driver, Level

Profile = Literal["ci", "nightly"]

CASES: Final[dict[Driver, dict[Profile, int]]] = {
    "fuzz": {"ci": 2000, "nightly": 25_000},
    "hypothesis": {"ci": 1000, "nightly": 10_000},
}
"""Cases at the most, by driver and profile: of sixty operations, or of sixty rules."""

ENOUGH: Final[dict[Profile, float]] = {"ci": 0.95, "nightly": 1.0}
"""The share of the bugs that can show which a profile must kill."""

LEVELS: Final[tuple[Level, ...]] = ("exact", "hits", "safe", "invariants")

LONGEST: Final = 8
"""Operations that the median reproducer may have."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One bug, one driver and level: what it took to kill it, or what it outlived.

    `operations` were compared up to the first difference; seconds are of one processor. `reproducer` is the
    number of operations of the shrunk trace, None where there is none.
    """

    driver: Driver
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
    """The whole zoo: all cases follow from `seed`."""

    seed: int
    entries: list[Entry]

    def after(self, earlier: "Results") -> "Results":
        """These results, and the earlier ones of what was not run this time."""
        runs = {entry.name: entry.runs for entry in earlier.entries}
        entries = [
            msgspec.structs.replace(one, runs=_joined(runs.get(one.name, []), one.runs))
            for one in self.entries
        ]
        return msgspec.structs.replace(self, entries=entries)


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One driver and level, over the bugs that can show there."""

    driver: Driver
    level: Level
    bugs: int
    killed_by_ci: int
    killed: int
    operations: float
    seconds: float
    worst_operations: int
    reproducer: float | None

    def misses(self, profile: Profile, *, is_whole: bool = True) -> list[str]:
        """Which targets of the profile are missed; a median is of the whole zoo."""
        missed = []
        due = ceil(ENOUGH["ci"] * self.bugs)
        if self.killed_by_ci < due:
            missed.append(f"the CI profile kills {self.killed_by_ci} of {self.bugs}, {due} are due")
        living = self.bugs - self.killed
        if profile == "nightly" and living:
            missed.append(f"{living} {'lives' if living == 1 else 'live'}, none may")
        if is_whole and self.reproducer is not None and self.reproducer > LONGEST:
            missed.append(
                f"the median reproducer has {self.reproducer:g} operations, {LONGEST} at the most are due"
            )
        return missed


def _joined(earlier: list[Run], runs: list[Run]) -> list[Run]:
    """One run a driver and level, the later one of two, in one order."""
    found = {(run.driver, run.level): run for run in (*earlier, *runs)}
    return sorted(found.values(), key=lambda run: (run.driver, LEVELS.index(run.level)))


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
    runs: dict[tuple[Driver, Level], list[Run]] = {}
    for entry in results.entries:
        for run in entry.runs:
            runs.setdefault((run.driver, run.level), []).append(run)
    return [_score(driver, level, own) for (driver, level), own in runs.items()]


def _score(driver: Driver, level: Level, runs: list[Run]) -> Score:
    killed = [run for run in runs if run.killed]
    lengths = [run.reproducer for run in killed if run.reproducer is not None]
    return Score(
        driver=driver,
        level=level,
        bugs=len(runs),
        killed_by_ci=sum(run.cases <= CASES[driver]["ci"] for run in killed),
        killed=len(killed),
        operations=median([run.operations for run in killed] or [0]),
        seconds=median([run.seconds for run in killed] or [0.0]),
        worst_operations=max([run.operations for run in killed] or [0]),
        reproducer=median(lengths) if lengths else None,
    )
