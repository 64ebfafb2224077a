"""`kvref check`: every small state."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from kvref.check.configurations import Size, chosen
from kvref.check.explore import Explored
from kvref.check.faults import FAULTS, check_fault, compared
from kvref.check.page import Results
from kvref.check.page import page as page_of
from kvref.check.run import Result, run
from kvref.cli.common import DIVERGED, INTERRUPTED, console, opened_target, require_positive, tell
from kvref.errors import UserError
from kvref.fuzz.report import difference_table, write_json
from kvref.targets.inprocess import InProcessTarget

SECONDS_A_LINE = 60.0

OnState = Callable[[str, Explored], None]


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
    most_transitions: int | None = None,
    bug: str | None = None,
    seeded_faults: Annotated[bool, Parameter(negative="")] = False,
    findings: Path = Path("findings"),
    json: Path | None = None,
    page: Path | None = None,
) -> int:
    """Visit every small state: all that a legal scheduler can do, breadth-first, on a target and the reference.

    The table has transitions a processor second, and bytes a state. Ctrl-C ends it with what was reached.

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
    most_transitions
        Stop each configuration after so many transitions.
    bug
        Look for this bug of the zoo, which the optimized manager is given.
    seeded_faults
        Look for every bug that a small scope is known to show, and compare with fuzzing and shrinking.
    findings
        The folder that a counterexample is written to.
    json
        Write what was found.
    page
        Write it as a page, too.
    """
    given = {"blocks": blocks, "requests": requests, "letters": letters, "most-transitions": most_transitions}
    for option, value in given.items():
        require_positive(value, f"--{option}")
    require_positive(None if tokens is None else tokens - 1, "--tokens less one")
    told = _Told(target, findings, json, page)
    asked = Size(blocks, requests, tokens, letters, by_hand, asynchronous)
    with _progress() as on_state:
        if bug is not None:
            told.check(check_fault(bug, on_state), f"zoo=={bug}")
        elif all or names or not seeded_faults:
            _check(told, chosen(names, everything=all), most_transitions, asked, on_state)
        if seeded_faults and not told.interrupted:
            _check_faults(told, on_state)
    return told.ends()


@dataclass
class _Told:
    """What was found so far, told, and written wherever it should be."""

    target: str
    findings: Path
    json: Path | None
    page: Path | None
    results: Results = field(default_factory=Results)
    diverged: bool = False
    interrupted: bool = False

    def check(self, result: Result, target: str | None = None) -> None:
        """One configuration is done."""
        self.results.checks.append(result)
        self.interrupted = self.interrupted or result.ending == "interrupt"
        if result.counterexample is not None:
            self.diverged = True
            name = target or self.target
            path = self.findings / f"check-{result.name.replace('/', '-')}.json"
            write_json(path, result.counterexample)
            console.print(difference_table(result.wrong, name))
            tell(f"{len(result.counterexample.operations)} operations: kvref explain {path} --target {name}")
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


def _check(
    told: _Told, names: Sequence[str], most_transitions: int | None, asked: Size, on_state: OnState
) -> None:
    opened = opened_target(told.target, None)
    if not isinstance(opened, InProcessTarget):
        opened.close()
        raise UserError(f"kvref check needs a target in this process, not {told.target}: use kvref fuzz")
    for name in names:
        (result,) = run(
            [name], most_transitions=most_transitions, subject=opened.opener, on_state=on_state, asked=asked
        )
        told.check(result)
        if told.interrupted:
            break


def _check_faults(told: _Told, on_state: OnState) -> None:
    for bug in FAULTS:
        result = check_fault(bug, on_state)
        if result.ending == "interrupt":
            told.interrupted = True
            return
        fault = compared(bug, result)
        told.results.faults.append(fault)
        tell(f"{bug}: {result.told} in {result.name}; fuzzing and shrinking: {fault.fuzzed} operations")
        told.write()


@contextmanager
def _progress() -> Iterator[OnState]:
    """Shows a check at work: a line that changes on a terminal, one a minute elsewhere."""
    shown = time.monotonic()
    if console.is_terminal:
        with console.status("starting") as status:

            def show(name: str, seen: Explored) -> None:
                nonlocal shown
                if time.monotonic() - shown >= 1 / 4:
                    shown = time.monotonic()
                    status.update(_line(name, seen))

            yield show
        return

    def print_line(name: str, seen: Explored) -> None:
        nonlocal shown
        if time.monotonic() - shown >= SECONDS_A_LINE:
            shown = time.monotonic()
            tell(_line(name, seen))

    yield print_line


def _line(name: str, seen: Explored) -> str:
    return f"{name}: {seen.states:,} states, {seen.transitions:,} transitions, depth {seen.depth}"


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
