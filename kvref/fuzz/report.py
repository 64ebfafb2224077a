"""Tells a campaign: progress while it runs, tables when it ends, traces of what it found."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kvref.compare import Difference
from kvref.errors import UserError
from kvref.fuzz.coverage import EVENTS, REACHABLE, ROWS, UNREACHABLE
from kvref.fuzz.histogram import DUE, below_floor, nested
from kvref.fuzz.settings import Level
from kvref.fuzz.tally import Report
from kvref.judge import Finding
from kvref.operations import Trace
from kvref.targets.deviations import Catalogue

SECONDS_A_LINE = 60.0
MOST_REASONS = 12
MOST_SORTS = 20
MOST_CELLS = 6
FLOOR = 100
"""Visits that a cell of the histogram should have."""


def status(report: Report) -> str:
    """Where a campaign is, in one line."""
    settings = report.settings
    total = f"/{settings.own_cases}" if settings.cases else ""
    speed = f"{report.pace:.0f} a second ({report.rate:.0f} a CPU second)"
    known, new = report.deviations.total(), len(report.findings)
    if settings.plays_on_target:
        return (
            f"{report.cases}{total} cases, {report.operations} operations, {speed}, "
            f"{report.slots_checked} slots checked, {known} known findings, {new} new"
        )
    return (
        f"{report.cases}{total} cases, {report.operations} operations compared, {speed}, "
        f"{report.configurations} configurations, "
        f"{len(REACHABLE) - len(report.coverage.gaps())} of {len(REACHABLE)} coverage cells, "
        f"{known} deviations met, {new} findings"
    )


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Report], None]]:
    """Shows a campaign at work: a bar on a terminal, one line a minute elsewhere."""
    if console.is_terminal:
        columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, refresh_per_second=4) as bar:
            task = bar.add_task("starting")
            yield lambda report: bar.update(
                task,
                total=report.settings.own_cases,
                completed=report.cases,
                description=status(report),
            )
        return
    told = time.monotonic()

    def tell(report: Report) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_A_LINE:
            told = time.monotonic()
            console.print(status(report), soft_wrap=True, highlight=False)

    yield tell


def coverage_table(report: Report) -> Table:
    """How often each kind and feature took part in a hit, an eviction, a refusal."""
    table = Table(title="took part in", title_justify="left")
    table.add_column("kind or feature")
    events = [event for event in EVENTS if event != "eviction" or report.settings.level != "safe"]
    for event in events:
        table.add_column(event, justify="right")
    for row in ROWS:
        cells = []
        for event in events:
            count = report.coverage.counts[row, event]
            rule = UNREACHABLE.get((row, event))
            cells.append(f"- {rule}" if rule and not count else str(count))
        table.add_row(row, *cells)
    return table


def histogram_line(report: Report) -> str:
    """What a kind and a feature took part in together, in short: the cells with the fewest visits."""
    cells = report.coverage.cells
    fewest = [f"{cell} {cells[cell]}" for cell in below_floor(report.coverage, FLOOR)]
    told = f"kind, feature, event: {len(DUE) - len(fewest)} of {len(DUE)} cells with {FLOOR} visits or more"
    return "; ".join([told, *fewest[:MOST_CELLS], *(["…"] if len(fewest) > MOST_CELLS else [])])


def deviation_table(report: Report, catalogue: Catalogue) -> Table:
    """The known deviations that the campaign met."""
    sides = report.target if report.against == "reference" else f"{report.target} and {report.against}"
    table = Table(title=f"known deviations of {sides}", title_justify="left")
    for column in ("id", "met", "verdict", "what"):
        table.add_column(column, overflow="fold", justify="right" if column == "met" else "left")
    for deviation in catalogue:
        count = report.deviations[deviation.id]
        table.add_row(deviation.id, str(count), deviation.verdict.value, deviation.title)
    return table


def difference_table(found: tuple[Difference, ...], actual: str, expected: str = "reference") -> Table:
    """What was expected and what was shown, side by side."""
    table = Table(show_lines=True)
    for column in ("what", expected, actual):
        table.add_column(column, overflow="fold")
    for difference in found:
        table.add_row(difference.what, difference.expected, difference.actual)
    return table


def tell_finding(
    console: Console,
    finding: Finding,
    target: str,
    path: Path | None,
    page: Path | None = None,
    *,
    named: str = "",
    level: Level = "exact",
    against: str = "reference",
) -> None:
    """One finding: the operation, both sides, the configuration, and how to repeat it.

    `named` is the target as options of the command line.
    """
    console.print(f"[bold]{finding.title}[/bold]")
    console.print(difference_table(finding.differences, target, "due" if level == "safe" else against))
    console.print(f"operation  {finding.operation}", highlight=False, soft_wrap=True)
    console.print(f"in         {finding.trace.configuration}", highlight=False, soft_wrap=True)
    console.print(f"seed       {finding.trace.seed}, case {finding.trace.case}", highlight=False)
    if path is not None:
        more = f" --level {level}" if level in ("safe", "hits") else ""
        more += f" --against {against}" if against != "reference" else ""
        console.print(f"replay     kvref replay {path} {named}{more}", highlight=False, soft_wrap=True)
    if page is not None:
        console.print(f"page       {page}", highlight=False, soft_wrap=True)


def sorts_table(report: Report) -> Table:
    """The findings, those together that differ in the same things after the same operation.

    `sorts` are sorts of configurations.
    """
    table = Table(title="findings", title_justify="left")
    table.add_column("after")
    table.add_column("what differs, or is wrong", overflow="fold")
    for column in ("times", "sorts", "shortest", "case"):
        table.add_column(column, justify="right")
    for alike in report.found.sorts()[:MOST_SORTS]:
        first = alike[0]
        table.add_row(
            first.shape.operation,
            ", ".join(first.shape.what),
            str(sum(found.count for found in alike)),
            str(len(alike)),
            f"{len(first.shortest.trace.operations)} operations",
            str(first.shortest.trace.case),
        )
    return table


def refusal_table(report: Report) -> Table:
    """Why configurations could not be built, at level safe."""
    table = Table("not constructed", title_justify="left")
    table.add_column("cases", justify="right")
    for reason, count in report.refused.most_common(MOST_REASONS):
        table.add_row(reason, str(count))
    return table


def tell_report(console: Console, report: Report, catalogue: Catalogue, titles: Mapping[str, str]) -> None:
    """What a campaign has seen, in the end; `titles` are those of what is known at level safe."""
    is_safe = report.settings.plays_on_target
    console.print(coverage_table(report))
    if is_safe:
        if report.refused:
            console.print(refusal_table(report))
        for name, count in sorted(report.deviations.items()):
            console.print(f"{name} {count} times: {titles.get(name, '')}", highlight=False, soft_wrap=True)
    elif catalogue:
        console.print(deviation_table(report, catalogue))
    for row, event in () if is_safe else report.coverage.gaps():
        console.print(f"never seen: {row} in {event}s", highlight=False)
    console.print(histogram_line(report), highlight=False, soft_wrap=True)
    if report.found:
        console.print(sorts_table(report))
    console.print(_totals(report), highlight=False, soft_wrap=True)


def _totals(report: Report) -> str:
    settings, seconds = report.settings, f"{report.wall_seconds:.0f} s in all"
    rate = f"{report.rate:.0f} operations a CPU second, all processes together; {seconds}"
    read = "slots of tokens and states were read"
    whole = "of the cases compared to their full length"
    compared = "" if settings.plays_on_target else " compared"
    ran = f"{report.operations} operations{compared} in {report.cases} cases, {report.configurations} configurations"
    if settings.plays_on_target:
        lines = [
            f"{ran}: {report.slots_checked} {read}, and hold what they should but for the findings",
            f"{report.conflated} reads found what the key format conflates (HASH-4, Q-10, Q-11)",
            rate,
        ]
    else:
        lines = [
            f"{ran} ({report.refused_by_both} refused by both sides)",
            f"{report.whole_share:.1%} {whole}; median {report.median_length} operations",
            f"{rate}; invariants checked on {report.witnessed} cases",
            f"{report.slots_checked} {read} in careful cases, and hold what they should but for the findings",
        ]
    share = f", slice {settings.slice}" if settings.slice.of > 1 else ""
    shapes, times = len(report.found), report.found.total
    met = f", met {times} times" if times > shapes else ""
    return "\n".join(
        [*lines, f"seed {settings.seed}, profile {settings.profile}{share}", f"{shapes} findings{met}"]
    )


def summary(report: Report) -> dict[str, object]:
    """The report as plain data, for `--report`."""
    settings, coverage = report.settings, report.coverage
    return {
        "target": report.target,
        "against": report.against,
        "seed": settings.seed,
        "profile": settings.profile,
        "level": settings.level,
        "slice": str(settings.slice),
        "guidance": settings.guidance,
        "cases": report.cases,
        "operations": report.operations,
        "configurations": len(report.configurations),
        "refused_by_both": report.refused_by_both,
        "whole_share": report.whole_share,
        "median_length": report.median_length,
        "operations_a_cpu_second": report.rate,
        "wall_seconds": report.wall_seconds,
        "witnessed": report.witnessed,
        "slots_checked": report.slots_checked,
        "conflated_by_keys": report.conflated,
        "not_constructed": dict(report.refused.most_common()),
        "deviations": dict(sorted(report.deviations.items())),
        "coverage": {row: {event: coverage.counts[row, event] for event in EVENTS} for row in ROWS},
        "histogram": nested(coverage),
        "never_seen": [f"{row}: {event}" for row, event in coverage.gaps()],
        "findings": [finding.title for finding in report.findings],
        "findings_met": report.found.total,
    }


def write_trace(folder: Path, trace: Trace) -> Path:
    """Keep a trace in `folder`; returns its path."""
    path = folder / f"seed{trace.seed}-case{trace.case}.json"
    write_json(path, trace)
    return path


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON. Raises UserError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure
