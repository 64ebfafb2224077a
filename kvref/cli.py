"""The command `kvref`. Exit codes: 0 all well, 1 a divergence was found, 2 bad input."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from kvref.bench import catalogue
from kvref.bench import plot as drawing
from kvref.bench import report as bench_report
from kvref.bench import runner as bench_runner
from kvref.bench.worker import Settings as BenchSettings
from kvref.errors import UserError
from kvref.fuzz import safe
from kvref.fuzz.campaign import WITNESSED, Settings, run
from kvref.fuzz.configurations import Profile
from kvref.fuzz.report import (
    difference_table,
    progress,
    safe_summary,
    summary,
    tell_finding,
    tell_report,
    tell_safe,
    write_json,
    write_trace,
)
from kvref.judge import Finding
from kvref.operations import Trace, trace_schema
from kvref.replay import read_trace
from kvref.replay import replay as replay_trace
from kvref.targets.base import Target
from kvref.targets.deviations import Verdict
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from kvref.targets.registry import names, open_target
from kvref.targets.vllm.reproducer import reproducer as reproducer_of

DIVERGED = 1
BAD_INPUT = 2
INTERRUPTED = 130
SHOWN_FINDINGS = 3
ATTEMPTS = 400
"""So many attempts shrink a finding, to see whether it is known."""
REPEATS = 5
QUICK_REPEATS = 2
DEMO_REQUESTS = 16
QUICK_DEMO_REQUESTS = 6
DEMO_REPEATS = 3


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """A reader that went away is no divergence, as Rich's own exit code 1 would say."""
        raise  # noqa: PLE0704 - called where the error is handled


app = App(name="kvref", help="The oracle for LLM KV cache managers.")
console = _Console()


def _tell(line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _needing_torch(what: str) -> Iterator[None]:
    """For imports of what needs torch, which is optional, and slow to import."""
    try:
        yield
    except ModuleNotFoundError as absent:
        if absent.name != "torch":
            raise
        raise UserError(f"{what} needs torch: pip install 'kvref[dataplane]'") from absent


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
    level: Literal["exact", "invariants", "safe"] = "exact",
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
        checks what must always hold, on a target that runs in this process; `safe` puts data
        behind the block ids of any manager, and checks every read (needs torch).
    profile
        `mixed` draws everything, what is known to deviate included; `clean` leaves that out.
    length
        Operations a case.
    first
        The number of the first case: a case is repeated by its seed, profile and number.
    witnessed
        The invariants are checked on one case in so many: 1 checks all. At level safe only where
        the target runs in this process.
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
    if level == "safe":
        return _fuzz_safe(
            opened, safe.Settings(seed, cases, seconds, profile, length, first, witnessed), findings, report
        )
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


def _fuzz_safe(opened: Target, settings: safe.Settings, findings: Path, report: Path | None) -> int:
    if not isinstance(opened, safe.SafeTarget):
        raise UserError(
            f"level safe asks a target one operation at a time, which {opened.name} cannot: use exact"
        )
    console.print(
        f"{opened.name}, level safe, seed {settings.seed}, profile {settings.profile}", highlight=False
    )

    with _needing_torch("level safe"):
        from kvref.fuzz.play import play  # noqa: PLC0415
        from kvref.fuzz.shrink import shrink  # noqa: PLC0415
        from kvref.survey.catalogue import KNOWN, which  # noqa: PLC0415

    # What is known of vLLM excuses nobody else.
    catalogue = () if opened.capabilities.is_sound else KNOWN

    def recognise(finding: Finding) -> str | None:
        if opened.catalogue:
            known = replay_trace(ReferenceSession, opened, finding.trace).known
            if known is not None and known.verdict is Verdict.UNSAFE:
                return known.id
        small = shrink(finding.trace, opened, budget=ATTEMPTS)
        found = which(catalogue, small.trace, small.wrong[0]) if small else None
        return found.id if found is not None else None

    try:
        with progress(console) as tell:
            seen = safe.run(settings, opened, play, recognise, tell)
        for number, finding in enumerate(seen.findings[:SHOWN_FINDINGS]):
            small = None if seen.failure else shrink(finding.trace, opened)
            if small is not None:
                seen.findings[number] = Finding(small.trace, small.trace.operations[-1], small.wrong)
    finally:
        opened.close()
    tell_safe(console, seen, {one.id: one.title for one in KNOWN})
    unwritten = _keep(seen.findings, findings, opened.name, safe_level=True)
    if report is not None:
        write_json(report, safe_summary(seen))
    if seen.failure or unwritten:
        raise UserError(str(seen.failure or unwritten))
    return DIVERGED if seen.findings else 0


def _keep(found: list[Finding], folder: Path, target: str, *, safe_level: bool = False) -> UserError | None:
    """Write the traces of findings and tell the first ones, even if they cannot be written."""
    unwritten = None
    for number, finding in enumerate(found):
        path = None
        try:
            path = write_trace(folder, finding.trace)
        except UserError as failure:
            unwritten = failure
        if number < SHOWN_FINDINGS:
            tell_finding(console, finding, target, path, safe_level=safe_level)
    return unwritten


@app.command
def replay(
    trace: Path,
    *,
    target: str = "vllm==0.23.0",
    level: Literal["exact", "safe"] = "exact",
    python: Path | None = None,
    until: int | None = None,
) -> int:
    """Replay a trace on a target, against the reference.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it.
    target
        What to replay it on: see `kvref targets`.
    level
        `exact` compares everything with the reference after every operation; `safe` keeps
        data behind the target's block ids, and tells what is read wrong, lost or never ends.
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
        if level == "safe":
            return _tell_safe(trace, opened, loaded)
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


def _tell_safe(path: Path, target: Target, trace: Trace) -> int:
    with _needing_torch("level safe"):
        from kvref.replay_safe import replay_safe  # noqa: PLC0415
    wrong, at = replay_safe(trace, target)
    total = len(trace.operations)
    if not wrong:
        console.print(f"{path}: {total} operations performed, nothing is wrong", highlight=False)
        return 0
    where = f"operation {at} of {total}: {trace.operations[at]}" if at is not None else "when nothing follows"
    console.print(f"{path}: wrong at {where}", highlight=False, soft_wrap=True)
    console.print(difference_table(wrong, target.name, "due"))
    return DIVERGED


@app.command
def reproducer(trace: Path, *, release: str = "0.23.0", out: Path | None = None) -> int:
    """Write a trace as a Python file that shows its fault with vLLM alone, as for an issue.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz --level safe` writes it.
    release
        The release of vLLM whose API the file uses.
    out
        The file to write; standard output, if it is not given.
    """
    text = reproducer_of(read_trace(trace), release)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text)
    except OSError as failure:
        raise UserError(f"{out} cannot be written ({failure.strerror}): choose another place") from failure
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
def demo(
    *,
    seed: int = 1,
    requests: int | None = None,
    device: str = "cpu",
    target: str = "optimized",
    quick: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Decode with a tiny hybrid transformer through a manager's block tables, and check every logit.

    The same model without any cache says what is right: where a logit differs, the exit code is 1.

    Parameters
    ----------
    seed
        All of the model, the requests and the schedule follow from it.
    requests
        How many requests: 16, or 6 with `--quick`, if it is not given.
    device
        Where the tensors are: `cpu`, `cuda`, or another device of torch's.
    target
        The manager: `optimized`, `reference`, or `compiled` where it is built.
    quick
        Fewer requests, and one repetition.
    """
    _positive(requests, "--requests")
    with _needing_torch("demo"):
        from kvref.dataplane.transformer import demo as decoding  # noqa: PLC0415
        from kvref.dataplane.transformer import report as demo_report  # noqa: PLC0415
    result = decoding.demonstrate(
        target,
        device,
        seed=seed,
        requests=requests or (QUICK_DEMO_REQUESTS if quick else DEMO_REQUESTS),
        repeats=1 if quick else DEMO_REPEATS,
    )
    demo_report.tell(console, result)
    return 0 if result.agrees else DIVERGED


@app.command
def survey(
    *,
    release: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    operations: int = 100_000,
    seed: int = 1,
    data: Path = Path("docs/survey.json"),
    out: Path = Path("docs/survey.md"),
    reproducers: Path = Path("reproducers/managers"),
    again: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Play every release of vLLM at level safe, and write a page of what each does wrong.

    Exit code 1 if there is a finding that the catalogue does not know.

    Parameters
    ----------
    release
        A release to survey; may be given several times. The newest of each minor release since 0.11, if
        none is given.
    operations
        So many operations at least on each release.
    seed
        All cases follow from it.
    data
        Where results are kept; releases that are there, with as many operations and this seed, are not
        surveyed again.
    out
        The page.
    reproducers
        The folder for a Python file a finding, in vLLM's own classes.
    again
        Survey all releases again.
    """
    _positive(operations, "--operations")
    with _needing_torch("survey"):
        from kvref.survey import releases as surveys  # noqa: PLC0415
    found = surveys.survey(release or surveys.RELEASES, operations, seed, data, again=again, tell=_tell)
    written = surveys.write_reproducers(found, reproducers)
    surveys.write_page(found, out)
    _tell(f"{out}: {len(found.releases)} releases; {reproducers}: {len(written)} files")
    return DIVERGED if any(one.unknown for one in found.releases) else 0


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
