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
from kvref.fuzz import safe
from kvref.fuzz.campaign import Report
from kvref.fuzz.coverage import EVENTS, REACHABLE, ROWS, UNREACHABLE
from kvref.judge import Finding
from kvref.operations import Trace
from kvref.targets.deviations import Catalogue

SECONDS_A_LINE = 60.0
SAFE_EVENTS = ("hit", "refusal")
MOST_REASONS = 12


def status(report: Report | safe.Report) -> str:
    """Where a campaign is, in one line."""
    total = f"/{report.settings.cases}" if report.settings.cases else ""
    if isinstance(report, safe.Report):
        return (
            f"{report.cases}{total} cases, {report.operations} operations, {report.checked} slots checked, "
            f"{report.rate:.0f} operations a CPU second, {sum(report.deviations.values())} known findings, "
            f"{len(report.findings)} new"
        )
    return (
        f"{report.cases}{total} cases, {report.operations} operations compared, "
        f"{report.rate:.0f} a CPU second, {len(report.configurations)} configurations, "
        f"{len(REACHABLE) - len(report.coverage.gaps())} of {len(REACHABLE)} coverage cells, "
        f"{sum(report.deviations.values())} deviations met, {len(report.findings)} findings"
    )


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Report | safe.Report], None]]:
    """Shows a campaign at work: a bar on a terminal, one line a minute elsewhere."""
    if console.is_terminal:
        columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, refresh_per_second=4) as bar:
            task = bar.add_task("starting")
            yield lambda report: bar.update(
                task,
                total=report.settings.cases,
                completed=report.cases,
                description=status(report),
            )
        return
    told = time.monotonic()

    def tell(report: Report | safe.Report) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_A_LINE:
            told = time.monotonic()
            console.print(status(report), soft_wrap=True, highlight=False)

    yield tell


def coverage_table(report: Report) -> Table:
    """How often each kind and feature took part in a hit, an eviction, a refusal."""
    table = Table(title="took part in", title_justify="left")
    table.add_column("kind or feature")
    for event in EVENTS:
        table.add_column(event, justify="right")
    for row in ROWS:
        cells = []
        for event in EVENTS:
            count = report.coverage.counts[row, event]
            rule = UNREACHABLE.get((row, event))
            cells.append(f"- {rule}" if rule and not count else str(count))
        table.add_row(row, *cells)
    return table


def deviation_table(report: Report, catalogue: Catalogue) -> Table:
    """The known deviations that the campaign met."""
    table = Table(title=f"known deviations of {report.target}", title_justify="left")
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
    console: Console, finding: Finding, target: str, path: Path | None, *, safe_level: bool = False
) -> None:
    """One finding: the operation, both sides, the configuration, and how to repeat it."""
    console.print(f"[bold]{finding.title}[/bold]")
    console.print(difference_table(finding.differences, target, "due" if safe_level else "reference"))
    console.print(f"operation  {finding.operation}", highlight=False, soft_wrap=True)
    console.print(f"in         {finding.trace.configuration}", highlight=False, soft_wrap=True)
    console.print(f"seed       {finding.trace.seed}, case {finding.trace.case}", highlight=False)
    if path is not None:
        level = " --level safe" if safe_level else ""
        console.print(
            f"replay     kvref replay {path} --target {target}{level}", highlight=False, soft_wrap=True
        )


def tell_report(console: Console, report: Report, catalogue: Catalogue) -> None:
    """What a campaign has seen, in the end."""
    console.print(coverage_table(report))
    if catalogue:
        console.print(deviation_table(report, catalogue))
    for row, event in report.coverage.gaps():
        console.print(f"never seen: {row} in {event}s", highlight=False)
    told = f"""\
{report.operations} operations compared in {report.cases} cases, {len(report.configurations)} \
configurations ({report.refused_by_both} refused by both sides)
{report.whole_share:.1%} of the cases compared to their full length; median {report.median_length} operations
{report.rate:.0f} operations a CPU second, all processes together; {report.wall_seconds:.0f} s in all; \
invariants checked on {report.witnessed} cases
{report.slots_checked} slots of tokens and states were read in careful cases, and hold what they should but for the findings
seed {report.settings.seed}, profile {report.settings.profile}
{len(report.findings)} findings"""
    console.print(told, highlight=False, soft_wrap=True)


def tell_safe(console: Console, report: safe.Report, titles: Mapping[str, str]) -> None:
    """What a campaign at level safe has seen, in the end; `titles` are those of known findings."""
    table = Table(title="took part in", title_justify="left")
    table.add_column("kind or feature")
    for event in SAFE_EVENTS:
        table.add_column(event, justify="right")
    for row in ROWS:
        counts = [report.coverage.counts[row, event] for event in SAFE_EVENTS]
        table.add_row(row, *map(str, counts))
    console.print(table)
    if report.refused:
        told = Table("not constructed", title_justify="left")
        told.add_column("cases", justify="right")
        for reason, count in report.refused.most_common(MOST_REASONS):
            told.add_row(reason, str(count))
        console.print(told)
    for name, count in sorted(report.deviations.items()):
        console.print(f"{name} {count} times: {titles.get(name, '')}", highlight=False, soft_wrap=True)
    told_last = f"""\
{report.operations} operations in {report.cases} cases, {len(report.configurations)} configurations: \
{report.checked} slots of tokens and states were read, and hold what they should but for the findings
{report.conflated} reads found what the key format conflates (HASH-4, Q-10, Q-11)
{report.rate:.0f} operations a CPU second, all processes together; {report.wall_seconds:.0f} s in all
seed {report.settings.seed}, profile {report.settings.profile}
{len(report.findings)} findings"""
    console.print(told_last, highlight=False, soft_wrap=True)


def safe_summary(report: safe.Report) -> dict[str, object]:
    """The report as plain data, for `--report`."""
    counts = report.coverage.counts
    return {
        "target": report.target,
        "seed": report.settings.seed,
        "profile": report.settings.profile,
        "level": "safe",
        "cases": report.cases,
        "operations": report.operations,
        "slots_checked": report.checked,
        "conflated_by_keys": report.conflated,
        "configurations": len(report.configurations),
        "not_constructed": dict(report.refused.most_common()),
        "operations_a_cpu_second": report.rate,
        "wall_seconds": report.wall_seconds,
        "deviations": dict(sorted(report.deviations.items())),
        "coverage": {row: {event: counts[row, event] for event in SAFE_EVENTS} for row in ROWS},
        "findings": [finding.title for finding in report.findings],
    }


def summary(report: Report) -> dict[str, object]:
    """The report as plain data, for `--report`."""
    counts = report.coverage.counts
    return {
        "target": report.target,
        "seed": report.settings.seed,
        "profile": report.settings.profile,
        "level": report.settings.level,
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
        "deviations": dict(sorted(report.deviations.items())),
        "coverage": {row: {event: counts[row, event] for event in EVENTS} for row in ROWS},
        "never_seen": [f"{row}: {event}" for row, event in report.coverage.gaps()],
        "findings": [finding.title for finding in report.findings],
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
