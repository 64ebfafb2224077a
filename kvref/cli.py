"""The command `kvref`. Exit codes: 0 all well, 1 a divergence was found, 2 bad input."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console

from kvref.errors import UserError
from kvref.fuzz.campaign import Level, Settings, run
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
from kvref.operations import trace_schema
from kvref.replay import read_trace
from kvref.replay import replay as replay_trace
from kvref.targets.base import Target
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession
from kvref.targets.registry import names, open_target

DIVERGED = 1
BAD_INPUT = 2
SHOWN_FINDINGS = 3

app = App(name="kvref", help="The oracle for LLM KV cache managers.")
console = Console()


def _open(target: str, python: Path | None) -> Target:
    def tell(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    return open_target(target, python=python, tell=tell)


def _positive(value: float | None, name: str) -> None:
    if value is not None and value <= 0:
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
    python
        An interpreter that has the target, instead of an environment made for it.
    findings
        The folder that traces of findings are written to.
    """
    for value, name in ((cases, "--cases"), (seconds, "--seconds"), (length, "--length")):
        _positive(value, name)
    if cases is None and seconds is None:
        cases = 500
    opened = _open(target, python)
    opener: Opener = ReferenceSession
    if level == "invariants":
        own = getattr(opened, "opener", None)
        if own is None:
            raise UserError(f"level invariants needs a target in this process, not {target}: use exact")
        opener = own
    settings = Settings(seed, cases, seconds, profile, level, length, first)
    console.print(f"{opened.name} against the reference, seed {seed}, profile {profile}", highlight=False)
    try:
        with progress(console) as tell:
            seen = run(settings, opener, opened, tell)
    finally:
        opened.close()
    tell_report(console, seen, opened.catalogue)
    for number, finding in enumerate(seen.findings):
        path = write_trace(findings, finding.trace)
        if number < SHOWN_FINDINGS:
            tell_finding(console, finding, target, path)
    if report is not None:
        write_json(report, summary(seen))
    return DIVERGED if seen.findings else 0


@app.command
def replay(trace: Path, *, target: str = "vllm==0.23.0", python: Path | None = None) -> int:
    """Replay a trace on a target, against the reference.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it.
    target
        What to replay it on: see `kvref targets`.
    python
        An interpreter that has the target, instead of an environment made for it.
    """
    loaded = read_trace(trace)
    opened = _open(target, python)
    try:
        agreed, known, finding = replay_trace(ReferenceSession, opened, loaded)
    finally:
        opened.close()
    total = len(loaded.operations)
    console.print(f"{trace}: {agreed} of {total} operations agree", highlight=False)
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
        result = app(exit_on_error=False, print_error=True, result_action="return_value")
    except UserError as error:
        sys.stderr.write(f"kvref: {error}\n")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(BAD_INPUT)
        raise
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
