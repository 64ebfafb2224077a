"""`kvref bench`: managers side by side."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kvref.bench import catalogue
from kvref.bench import plot as drawing
from kvref.bench import report as bench_report
from kvref.bench import runner as bench_runner
from kvref.bench.worker import Settings as BenchSettings
from kvref.cli.common import DIVERGED, console, require_positive, tell
from kvref.errors import UserError
from kvref.fuzz.report import write_json

REPEATS = 5
QUICK_REPEATS = 2


def bench(
    *,
    release: Annotated[tuple[str, ...], Parameter(negative="")] = ("0.23.0",),
    workload: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    seed: int = 1,
    repeats: int | None = None,
    quick: Annotated[bool, Parameter(negative="")] = False,
    vllm: bool = True,
    python: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Measure KV cache managers on the same workloads, in one process and in turn.

    The managers must answer alike: where they do not, the figures are void, and the exit code is 1.

    Parameters
    ----------
    release
        A release of vLLM to measure beside; may be given several times, for a process each.
    workload
        A workload to measure; may be given several times. All of them, if none is given.
    seed
        All workloads follow from it.
    repeats
        Repetitions behind the warm-up: 5, or 2 with `--quick`, if it is not given.
    quick
        Fewer requests and repetitions.
    vllm
        Whether vLLM takes part; without it, this interpreter is measured, against the reference.
    python
        An interpreter that has vLLM, instead of an environment made for it.
    json
        Write all figures as JSON.
    plot
        Draw the figures as SVG or PNG.
    """
    require_positive(repeats, "--repeats")
    if python is not None and (len(release) > 1 or not vllm):
        raise UserError(
            "--python names one interpreter that has vLLM: give it neither releases nor --no-vllm"
        )
    names = catalogue.chosen(workload)
    if plot is not None:
        drawing.check(plot)
    if repeats is None:
        repeats = QUICK_REPEATS if quick else REPEATS
    interpreters = [Path(sys.executable)]
    if vllm:
        interpreters = [bench_runner.interpreter_of(one, python, tell) for one in release]
    settings = BenchSettings(names, seed, repeats, quick, vllm)
    with bench_report.progress(console) as on_progress:
        result = bench_runner.run(settings, interpreters, on_progress)
    bench_report.tell_result(console, result)
    if json is not None:
        write_json(json, result)
    if plot is not None:
        drawing.draw(plot, result)
    return DIVERGED if any(found.disagreements for found in result.releases) else 0
