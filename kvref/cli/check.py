"""`kvref check`: every small state."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from kvref.check.configurations import Size, chosen
from kvref.check.faults import FAULTS, Fault, check_fault
from kvref.check.page import Results
from kvref.check.page import page as page_of
from kvref.check.run import Result
from kvref.check.tasks import Check, SeededFault, opener_of
from kvref.check.workers import Say, outcomes, reached
from kvref.cli.common import DIVERGED, INTERRUPTED, console, require_positive, tell
from kvref.errors import UserError
from kvref.fuzz.report import difference_table, write_json

SECONDS_A_LINE = 60.0


def check(
    *names: str,
    all: Annotated[bool, Parameter(negative="")] = False,  # noqa: A002 - the option's name
    target: str = "optimized",
    blocks: int | None = None,
    requests: int | None = None,
    tokens: int | None = None,
    letters: int | None = None,
    by_hand: bool | None = None,
    asynchronous: bool | None = None,
    chunked_prefill: bool | None = None,
    most_transitions: int | None = None,
    bug: str | None = None,
    seeded_faults: Annotated[bool, Parameter(negative="")] = False,
    workers: int = 1,
    earlier: Path | None = None,
    findings: Path = Path("findings"),
    json: Path | None = None,
    page: Path | None = None,
) -> int:
    """Visit every small state: all that a legal scheduler can do, breadth-first, on a target and the reference.

    The table has transitions a processor second, and bytes a state. Ctrl-C ends it with what was reached. Exit
    code 1 if something is wrong, or a fault is not found by as few operations as fuzzing and shrinking takes.

    Parameters
    ----------
    names
        Configurations by name (`full`, `sliding/two`, `full+mamba`, ...); a few of them, if none is given.
    all
        Check all configurations.
    target
        A target in this process: `optimized`, `reference`, or `compiled` where it is built.
    blocks
        Blocks that can be used, instead of what a configuration's name stands for, as all that follows.
    requests
        Requests alive at once.
    tokens
        The longest a request gets, in tokens, outputs included.
    letters
        Token values.
    by_hand
        Whether blocks are evicted by hand, and the cache is reset.
    asynchronous
        Whether a step may be scheduled while another one runs.
    chunked_prefill
        Whether a prompt may be computed in parts.
    most_transitions
        Stop each configuration after so many transitions.
    bug
        Look for this bug of the zoo, which the optimized manager is given.
    seeded_faults
        Look for every bug that a small scope is known to show, and compare with fuzzing and shrinking.
    workers
        Processes. They change nothing but the time.
    earlier
        What the same code found before, as --json writes it: a scope that was exhausted there is not visited
        again, nor is a fault looked for again that was found.
    findings
        The folder that a counterexample is written to.
    json
        Write what was found.
    page
        Write it as a page, too.
    """
    asked = Size(blocks, requests, tokens, letters, by_hand, asynchronous, chunked_prefill)
    given = {"blocks": blocks, "requests": requests, "letters": letters, "most-transitions": most_transitions}
    for option, value in given.items():
        require_positive(value, f"--{option}")
    require_positive(None if tokens is None else tokens - 1, "--tokens less one")
    require_positive(workers, "--workers")
    chosen_names = chosen(names, everything=all) if all or names or not (seeded_faults or bug) else ()
    checks = [Check(name, target, asked, most_transitions) for name in chosen_names]
    told = _Told(target, findings, json, page, chosen_names)
    before = _read(earlier)
    with _progress() as say:
        if bug is not None:
            told.check(check_fault(bug, lambda name, seen: say(reached(name, seen))), f"zoo=={bug}")
        if checks:
            opener_of(target)
        for result in outcomes(checks, workers, say, before.checks):
            told.check(result)
        if seeded_faults and not told.interrupted:
            faults = [SeededFault(bug) for bug in FAULTS]
            for fault in outcomes(faults, workers, say, before.faults):
                told.fault(fault)
    return told.ends()


def _read(earlier: Path | None) -> Results:
    """What was found before. Raises UserError if it cannot be read."""
    if earlier is None:
        return Results()
    try:
        return msgspec.json.decode(earlier.read_bytes(), type=Results)
    except OSError as failure:
        raise UserError(f"{earlier} cannot be read ({failure.strerror}): leave out --earlier") from failure
    except msgspec.MsgspecError as failure:
        raise UserError(f"{earlier} is not what kvref check --json writes ({failure})") from failure


@dataclass
class _Told:
    """What was found so far, told, and written wherever it should be."""

    target: str
    findings: Path
    json: Path | None
    page: Path | None
    names: Sequence[str]
    results: Results = field(default_factory=Results)
    diverged: bool = False
    interrupted: bool = False

    def check(self, result: Result, target: str | None = None) -> None:
        """One configuration is done. They are kept in the order in which they were asked for."""
        self.results.checks.append(result)
        if result.name in self.names:
            self.results.checks.sort(key=lambda one: self.names.index(one.name))
        self.interrupted = self.interrupted or result.ending == "interrupt"
        if result.counterexample is not None:
            self.diverged = True
            name = target or self.target
            path = self.findings / f"check-{result.name.replace('/', '-')}.json"
            write_json(path, result.counterexample)
            console.print(difference_table(result.wrong, name))
            tell(f"{len(result.counterexample.operations)} operations: kvref explain {path} --target {name}")
        self.write()

    def fault(self, fault: Fault) -> None:
        """One seeded fault was looked for."""
        if fault.ending == "interrupt":
            self.interrupted = True
            return
        self.results.faults.append(fault)
        self.results.faults.sort(key=lambda one: list(FAULTS).index(one.bug))
        tell(
            f"{fault.bug}: {fault.result.told} in {fault.result.name}; "
            f"fuzzing and shrinking: {fault.fuzzed} operations"
        )
        self.write()

    def write(self) -> None:
        """Keep what was found."""
        if self.json is not None:
            write_json(self.json, self.results)
        if self.page is not None:
            _write(self.page, page_of(self.results))

    def ends(self) -> int:
        """Tell everything in a table."""
        if self.results.checks:
            console.print(_table(self.results.checks))
        if self.results.faults:
            short = [one for one in self.results.faults if one.is_shortest]
            tell(
                f"{len(short)} of {len(self.results.faults)} seeded faults found, by no more operations than "
                "fuzzing and shrinking takes"
            )
            self.diverged = self.diverged or len(short) < len(self.results.faults)
        if self.interrupted:
            return INTERRUPTED
        return DIVERGED if self.diverged else 0


@contextmanager
def _progress() -> Iterator[Say]:
    """Shows a check at work: a line that changes on a terminal, one a minute elsewhere."""
    shown = time.monotonic()

    def every(seconds: float, show: Say) -> Say:
        def say(line: str) -> None:
            nonlocal shown
            if time.monotonic() - shown >= seconds:
                shown = time.monotonic()
                show(line)

        return say

    if console.is_terminal:
        with console.status("starting") as status:
            yield every(1 / 4, status.update)
        return
    yield every(SECONDS_A_LINE, tell)


def _table(checks: Sequence[Result]) -> Table:
    table = Table(box=None)
    for head in ("configuration", "result"):
        table.add_column(head, overflow="fold")
    for head in ("states", "transitions", "depth", "a second", "bytes"):
        table.add_column(head, justify="right")
    for one in checks:
        numbers = (one.states, one.transitions, one.depth, round(one.rate), round(one.memory / one.states))
        table.add_row(f"{one.name}: {one.bound}", one.told, *(f"{number:,}" for number in numbers))
    return table


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        raise UserError(f"{path} cannot be written ({failure.strerror}): choose another place") from failure
