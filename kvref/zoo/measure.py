"""Kills bugs, shrinks what shows them, and writes down what it took."""

from collections.abc import Callable, Sequence
from typing import Final

from kvref.fuzz.shows import Shows
from kvref.fuzz.shows_exact import Exact
from kvref.fuzz.shows_invariants import Invariants
from kvref.fuzz.shrink import shrink
from kvref.operations import Trace
from kvref.targets.reference import ReferenceSession
from kvref.zoo.bug import Bug, Level
from kvref.zoo.hunt import Hunt, hunt
from kvref.zoo.results import Run

CASES: Final = {"ci": 400, "nightly": 25_000}
"""Cases of sixty operations, by profile."""

BUDGET: Final = 1500
"""So many attempts shrink what shows a bug."""

Tell = Callable[[str], object]


def measure(
    level: Level, bugs: Sequence[Bug], seed: int, cases: int, *, shrinks: bool, tell: Tell
) -> dict[str, Run]:
    """By name, what it took to kill the bugs that can show at this level."""
    showing = [bug for bug in bugs if bug.shows_at(level)]

    def progress(number: int, living: int) -> None:
        if number % 1000 == 0:
            tell(f"level {level}: {number:,} cases, {living} bugs live")

    return {
        one.bug.name: _run(level, one, shrinks=shrinks) for one in hunt(level, showing, seed, cases, progress)
    }


def _run(level: Level, one: Hunt, *, shrinks: bool) -> Run:
    kill = one.kill
    if kill is None:
        return Run(
            driver="fuzz",
            level=level,
            killed=False,
            cases=one.cases,
            operations=one.operations,
            seconds=round(one.seconds, 2),
        )
    finding = kill.finding
    small = shrink(finding.trace, _shows(level, one, finding.trace), budget=BUDGET) if shrinks else None
    return Run(
        driver="fuzz",
        level=level,
        killed=True,
        cases=kill.cases,
        operations=kill.operations,
        seconds=round(kill.seconds, 2),
        reproducer=len(small.trace.operations) if small else None,
        shown=finding.differences[0].what if finding.differences else "",
    )


def _shows(level: Level, one: Hunt, trace: Trace) -> Shows:
    if level == "exact":
        return Exact(ReferenceSession, one.target, trace)
    if level == "invariants":
        return Invariants(one.session, trace)
    from kvref.fuzz.shows_safe import Safe  # noqa: PLC0415 - needs torch

    return Safe(one.target)
