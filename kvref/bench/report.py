"""Tells a benchmark: progress while it runs, and tables when it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from kvref.bench.implementations import MODULES
from kvref.bench.results import (
    SUMMED,
    UNITS,
    BenchResult,
    Footprint,
    Measured,
    Phase,
    ReleaseResult,
    WorkloadResult,
    mean_ratio,
    ratio,
    spread,
)
from kvref.bench.runner import Tell
from kvref.bench.workloads import POOLS

SECONDS_A_LINE = 20.0
NARROWEST = 110
TIMES = "\N{MULTIPLICATION SIGN}"


@contextmanager
def progress(console: Console) -> Iterator[Tell]:
    """Shows a benchmark at work: a bar on a terminal, a line now and then elsewhere."""
    if console.is_terminal:
        columns = (BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, refresh_per_second=2, transient=True) as bar:
            task = bar.add_task("starting")
            yield lambda what, done, parts: bar.update(task, total=parts, completed=done, description=what)
        return
    told = time.monotonic()

    def tell(what: str, done: int, parts: int) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS_A_LINE:
            told = time.monotonic()
            console.print(f"{done}/{parts} {what}", soft_wrap=True, highlight=False)

    yield tell


def tell_result(console: Console, result: BenchResult) -> None:
    """All tables, one release behind another. A file gets wider lines than Rich would give it."""
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    for found in result.releases:
        sound = [w for w in found.workloads if not w.disagreement]
        plain = [w for w in sound if w.name not in POOLS]
        for workload in plain:
            console.print(workload_table(workload, found))
            if line := statistics_line(workload):
                console.print(line, highlight=False, soft_wrap=True)
        pools = [w for w in sound if w.name in POOLS]
        if pools:
            console.print(pool_table(pools, found))
        console.print(footprint_table(found))
        console.print(summary_table(plain, found))
        for line in found.disagreements:
            console.print(f"[bold]{line}[/bold]", highlight=False, soft_wrap=True)
    console.print(conditions(result), highlight=False, soft_wrap=True)


def conditions(result: BenchResult) -> str:
    """What the figures hold for, in one line."""
    pythons = ", ".join(sorted({found.python for found in result.releases}))
    quick = ", quick" if result.quick else ""
    return (
        f"{result.machine}; Python {pythons}; median of {result.repeats} repetitions, ± half the range "
        f"between quartiles, {TIMES} times faster; seed {result.seed}{quick}; {result.seconds:.0f} s"
    )


def workload_table(workload: WorkloadResult, found: ReleaseResult) -> Table:
    """What every phase costs every implementation, and how many times less than the baseline."""
    table = _table(f"{workload.name}: {workload.title}", "µs", found)
    measured = workload.measured
    for phase, unit in UNITS.items():
        if any(phase in one.phases for one in measured):
            cells = {one.implementation: _cell(workload, phase, one, found.baseline) for one in measured}
            _row(table, f"{phase} (a {unit})", found, cells)
    tails = {one.implementation: one.tail for one in measured if one.tail}
    for part, label in (("p50", "median"), ("p999", "99.9 %"), ("longest", "longest")) if tails else ():
        cells = {name: f"{getattr(tail, part) * 1e6:.1f}" for name, tail in tails.items()}
        _row(table, f"one decode, {label}", found, cells)
    return table


def pool_table(pools: list[WorkloadResult], found: ReleaseResult) -> Table:
    """What a call costs by the size of the pool, and its ratio to the smallest one."""
    table = _table("one full-attention group, by the pool's size", "µs (to the smallest)", found)
    for phase in SUMMED:
        for pool in pools:
            cells = {}
            for least, here in zip(pools[0].measured, pool.measured, strict=True):
                cost = _figure(here, phase)
                cells[here.implementation] = f"{cost:.3f} ({cost / _figure(least, phase):.2f})"
            size = pool.name.removeprefix("pool-")
            _row(table, f"{phase} (a {UNITS[phase]}), {size}", found, cells)
    return table


def footprint_table(found: ReleaseResult) -> Table:
    """What a large pool costs."""
    table = _table(f"a pool of {found.footprints[0].num_blocks} blocks", "", found)
    rows: dict[str, Callable[[Footprint], str]] = {
        "construction, s": lambda one: f"{median(one.construct_seconds):.3f}",
        "full garbage collection, ms": lambda one: f"{one.collect_seconds * 1e3:.1f}",
        "bytes a block, unused": lambda one: f"{one.bytes_a_block:.0f}",
        "bytes a block, cached": lambda one: f"{one.bytes_a_cached_block:.0f}",
    }
    for label, cell in rows.items():
        _row(table, label, found, {one.implementation: cell(one) for one in found.footprints})
    return table


def summary_table(workloads: list[WorkloadResult], found: ReleaseResult) -> Table:
    """The geometric means of the ratios."""
    table = _table(f"times faster than {found.baseline}: {', '.join(SUMMED)}", "geometric mean", found)
    for workload in workloads:
        means = {
            one.implementation: mean_ratio(workload, one.implementation, found.baseline)
            for one in workload.measured
        }
        cells = {name: f"{mean:.3g}{TIMES}" for name, mean in means.items() if mean is not None}
        if cells:
            _row(table, workload.name, found, cells)
    return table


def statistics_line(workload: WorkloadResult) -> str | None:
    """What a trace was like, if the workload is one."""
    told = workload.statistics
    if "shared_fraction" not in told:
        return None

    def lengths(what: str) -> str:
        cuts = "/".join(f"{told[f'{what}_p{p}']:.0f}" for p in (10, 50, 90, 99))
        return f"{what}s {told[f'{what}_mean']:.0f} tokens on average (p10/50/90/99: {cuts})"

    return (
        f"{told['requests']:.0f} requests, {told['turns_mean']:.1f} turns a conversation; "
        f"{lengths('prompt')}; {lengths('output')}; {told['shared_fraction']:.0%} of the prompt blocks "
        f"seen before, hit rate {told['hit_rate']:.0%}; {told['steps']:.0f} steps, an arrival every "
        f"{told['steps_between_arrivals']:.1f}; {told['preemptions']:.0f} preemptions"
    )


def _table(title: str, what: str, found: ReleaseResult) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(what)
    for name in _columns(found):
        table.add_column(name, justify="right")
    return table


def _columns(found: ReleaseResult) -> list[str]:
    """All implementations of this project, there or not, and vLLM."""
    return [*MODULES, *([found.baseline] if found.release else [])]


def _row(table: Table, label: str, found: ReleaseResult, cells: dict[str, str]) -> None:
    table.add_row(label, *(cells.get(name) or found.absent.get(name, "-") for name in _columns(found)))


def _figure(measured: Measured, phase: Phase) -> float:
    return median(measured.phases[phase].microseconds(UNITS[phase]))


def _cell(workload: WorkloadResult, phase: Phase, measured: Measured, baseline: str) -> str:
    name = measured.implementation
    figures = measured.phases[phase].microseconds(UNITS[phase])
    text = f"{median(figures):.3f} ±{spread(figures):.0%}"
    faster = ratio(workload, phase, name, baseline)
    return text if name == baseline or faster is None else f"{text} {faster:.3g}{TIMES}"
