"""The command `kvref`. Exit codes: 0 all well, 1 a divergence was found, 2 bad input."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from kvref.bench import catalogue
from kvref.bench import plot as drawing
from kvref.bench import report as bench_report
from kvref.bench import runner as bench_runner
from kvref.bench.worker import Settings as BenchSettings
from kvref.errors import UserError
from kvref.fuzz.campaign import WITNESSED, Level, Settings, run
from kvref.fuzz.configurations import Profile
from kvref.fuzz.report import (
    difference_table,
    progress,
    summary,
    tell_finding,
    tell_report,
    write_json,
    write_trace,
)
from kvref.judge import Finding
from kvref.operations import trace_schema
from kvref.replay import read_trace
from kvref.replay import replay as replay_trace
from kvref.targets.base import Target
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from kvref.targets.registry import names, open_target

DIVERGED = 1
BAD_INPUT = 2
INTERRUPTED = 130
SHOWN_FINDINGS = 3
REPEATS = 5
QUICK_REPEATS = 2


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """A reader that went away is no divergence, as Rich's own exit code 1 would say."""
        raise  # noqa: PLE0704 - called where the error is handled


app = App(name="kvref", help="The oracle for LLM KV cache managers.")
console = _Console()


def _tell(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


def _open(target: str, python: Path | None) -> Target:
    return open_target(target, python=python, tell=_tell)


def _positive(value: float | None, name: str) -> None:
    if value is not None and not value > 0:
        raise UserError(f"{name} {value} is not positive: give at least 1")


@app.command
def fuzz(
    *,
    target: str = "vllm==0.23.0",
    seed: int = 1,
    cases: int | None = None,
    seconds: float | None = None,
    level: Level = "exact",
    profile: Profile = "mixed",
    length: int = 60,
    first: int = 0,
    witnessed: int = WITNESSED,
    python: Path | None = None,
    findings: Path = Path("findings"),
    report: Annotated[Path | None, Parameter(help="Write what was seen as JSON.")] = None,
) -> int:
    """Hold a target against the reference on random cases.

    Parameters
    ----------
    target
        What to test: see `kvref targets`.
    seed
        All choices follow from it.
    cases
        How many cases; 500 if neither this nor seconds is given.
    seconds
        How long at the most.
    level
        `exact` compares everything with the reference after every operation; `invariants`
        checks what must always hold, on a target that runs in this process.
    profile
        `mixed` draws everything, what is known to deviate included; `clean` leaves that out.
    length
        Operations a case.
    first
        The number of the first case: a case is repeated by its seed, profile and number.
    witnessed
        At level exact the invariants are checked on one case in so many: 1 checks all.
    python
        An interpreter that has the target, instead of an environment made for it.
    findings
        The folder that traces of findings are written to.
    """
    for value, name in (
        (cases, "--cases"),
        (seconds, "--seconds"),
        (length, "--length"),
        (witnessed, "--witnessed"),
    ):
        _positive(value, name)
    if first < 0:
        raise UserError(f"--first {first} is negative: cases count from 0")
    if cases is None and seconds is None:
        cases = 500
    opened = _open(target, python)
    opener: Opener = ReferenceSession
    if level == "invariants":
        own = getattr(opened, "opener", None)
        if own is None:
            raise UserError(f"level invariants needs a target in this process, not {target}: use exact")
        opener = own
    settings = Settings(seed, cases, seconds, profile, level, length, first, witnessed)
    console.print(f"{opened.name} against the reference, seed {seed}, profile {profile}", highlight=False)
    try:
        with progress(console) as tell:
            seen = run(settings, opener, opened, tell)
    finally:
        opened.close()
    tell_report(console, seen, opened.catalogue)
    unwritten = _keep(seen.findings, findings, target)
    if report is not None:
        write_json(report, summary(seen))
    if seen.failure or unwritten:
        raise UserError(str(seen.failure or unwritten))
    return DIVERGED if seen.findings else 0


def _keep(found: list[Finding], folder: Path, target: str) -> UserError | None:
    """Write the traces of findings and tell the first ones, even if they cannot be written."""
    unwritten = None
    for number, finding in enumerate(found):
        path = None
        try:
            path = write_trace(folder, finding.trace)
        except UserError as failure:
            unwritten = failure
        if number < SHOWN_FINDINGS:
            tell_finding(console, finding, target, path)
    return unwritten


@app.command
def replay(
    trace: Path, *, target: str = "vllm==0.23.0", python: Path | None = None, until: int | None = None
) -> int:
    """Replay a trace on a target, against the reference.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it.
    target
        What to replay it on: see `kvref targets`.
    python
        An interpreter that has the target, instead of an environment made for it.
    until
        The last operation to perform, by its line: 0 is the first.
    """
    loaded = read_trace(trace)
    if until is not None:
        if not 0 <= until < len(loaded.operations):
            raise UserError(f"--until {until}: {trace} has operations 0 to {len(loaded.operations) - 1}")
        loaded = msgspec.structs.replace(loaded, operations=loaded.operations[: until + 1])
    opened = _open(target, python)
    try:
        judgement = replay_trace(ReferenceSession, opened, loaded)
    finally:
        opened.close()
    total = len(loaded.operations)
    console.print(f"{trace}: {judgement.agreed} of {total} operations agree", highlight=False)
    known, finding = judgement.known, judgement.finding
    if known is not None:
        console.print(f"known deviation {known.id} ({known.verdict.value}): {known.title}", highlight=False)
        if finding is not None:
            console.print(difference_table(finding.differences, opened.name))
        return DIVERGED
    if finding is not None:
        tell_finding(console, finding, opened.name, None)
        return DIVERGED
    return 0


@app.command
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
    _positive(repeats, "--repeats")
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
        interpreters = [bench_runner.interpreter_of(one, python, _tell) for one in release]
    settings = BenchSettings(names, seed, repeats, quick, vllm)
    with bench_report.progress(console) as tell:
        result = bench_runner.run(settings, interpreters, tell)
    bench_report.tell_result(console, result)
    if json is not None:
        write_json(json, result)
    if plot is not None:
        drawing.draw(plot, result)
    return DIVERGED if any(found.disagreements for found in result.releases) else 0


@app.command
def targets() -> None:
    """List what can be tested."""
    for name in names():
        console.print(name)
    known = "vllm==X.Y.Z makes and keeps an environment for that release; vllm uses this interpreter's"
    console.print(known, soft_wrap=True)


@app.command
def schema() -> None:
    """Print the JSON Schema of trace files."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(trace_schema()), indent=2).decode() + "\n")


def main() -> None:
    """The command's entry point: errors that a person can mend take one line."""
    try:
        result = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (UserError, CycloptsError) as error:
        _refuse(str(error))
    except OSError as failure:
        if failure.filename is None:
            # What standard output still holds would be flushed, and fail, once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _refuse(str(failure))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(result if isinstance(result, int) else 0)


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"kvref: {' '.join(why.split())}\n")
    sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
