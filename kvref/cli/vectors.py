"""`kvref vectors`: traces with what must be seen on them, for managers in any language."""

from collections import Counter
from pathlib import Path

from cyclopts import App
from rich.table import Table

from kvref.cli.common import DIVERGED, console, needing_torch, opened_target, require_positive, tell
from kvref.cli.loading import load
from kvref.fuzz.report import difference_table
from kvref.known_file import read_known
from kvref.targets.reference import ReferenceSession
from kvref.vectors.run import Failure, Level, Tally
from kvref.vectors.run import run as run_suite
from kvref.vectors.suite import read_found, read_suite, write_files

SHOWN_FAILURES = 3

vectors = App(name="vectors", help="Conformance vectors: traces with what must be seen on them.")


@vectors.command
def generate(*, seed: int = 1, cases: int = 3000, out: Path = Path("vectors")) -> int:
    """Choose short traces that cover every kind and feature, and write what must be seen on each.

    Parameters
    ----------
    seed
        All choices follow from it.
    cases
        So many cases are drawn to choose from.
    out
        The folder. What lies in its folder `found` is kept, and written anew.
    """
    require_positive(cases, "--cases")
    with needing_torch("the data plane that holds the vectors"):
        from kvref.vectors.generate import generate as generate_suite  # noqa: PLC0415
    with console.status("drawing cases") as status:

        def drawn(number: int) -> None:
            status.update(f"{number} of {cases} cases drawn")

        made = generate_suite(seed, cases, read_found(out), ReferenceSession, drawn)
    write_files(out, made.files)
    size = sum(map(len, made.files.values()))
    tell(f"{out}: {made.vectors} vectors in {len(made.files)} files, {size} bytes")
    tell(
        f"{made.checked.operations} operations held against the invariants, "
        f"{made.checked.slots} slots of tokens and states against the data plane"
    )
    return 0


@vectors.command
def run(
    *,
    target: str = "vllm==0.23.0",
    suite: Path = Path("vectors"),
    level: Level = "exact",
    known: list[Path] | None = None,
    python: Path | None = None,
) -> int:
    """Hold a target against a suite.

    Parameters
    ----------
    target
        What to test: see `kvref targets`.
    suite
        The folder of the suite.
    level
        `exact` compares everything after every operation; `hits` hit lengths, admissions and refusals.
    known
        A Python file with a catalogue of intended differences, see docs/known.md; may be given again.
    python
        An interpreter that has the target, instead of an environment made for it.
    """
    mine = read_known(known or ())
    _, files = read_suite(suite)
    opened = opened_target(target, python)
    try:
        tallies = run_suite(files, opened, level, ReferenceSession, mine)
    finally:
        opened.close()
    console.print(_table(tallies, f"{opened.name}, level {level}"))
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    for failure in failures[:SHOWN_FAILURES]:
        _tell(failure, opened.name)
    met: Counter[str] = sum((tally.known for tally in tallies.values()), Counter())
    not_asked: Counter[str] = sum((tally.not_asked for tally in tallies.values()), Counter())
    for deviation in (*mine, *opened.catalogue):
        if met[deviation.id]:
            tell(f"known deviation {deviation.id} in {met[deviation.id]} vectors: {deviation.title}")
    for reason, count in not_asked.items():
        tell(f"{count} vectors not asked: {reason}")
    total = sum(tally.vectors for tally in tallies.values())
    agreed = sum(tally.agreed for tally in tallies.values())
    tell(f"{agreed} of {total} vectors agree, {met.total()} show a known deviation, {len(failures)} differ")
    return DIVERGED if failures else 0


@vectors.command
def add(trace: Path, *, name: str, suite: Path = Path("vectors"), rule: list[str] | None = None) -> int:
    """Keep a trace as a vector: what was found once is asked for ever.

    Parameters
    ----------
    trace
        A JSON file, as `kvref fuzz` writes it, or a recording, as `kvref record` does.
    name
        What the vector is called: small letters, digits and hyphens.
    suite
        The folder of the suite.
    rule
        A rule that it is about; may be given again.
    """
    with needing_torch("the data plane that holds the vectors"):
        from kvref.vectors.generate import add as add_vector  # noqa: PLC0415
    path = add_vector(suite, name, tuple(rule or ()), load(trace), ReferenceSession)
    tell(f"{path} is part of the suite")
    return 0


def _table(tallies: dict[str, Tally], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("file", "vectors", "agreed", "known", "not asked", "first difference"):
        table.add_column(
            column, justify="left" if column in ("file", "first difference") else "right", overflow="fold"
        )
    for path, tally in tallies.items():
        counts = (tally.vectors, tally.agreed, tally.known.total(), tally.not_asked.total())
        table.add_row(path, *map(str, counts), _where(tally.failures[0]) if tally.failures else "")
    return table


def _where(failure: Failure) -> str:
    if failure.at is None:
        return f"{failure.vector.name}: construction"
    operation = failure.vector.steps[failure.at].operation
    return f"{failure.vector.name}, operation {failure.at}: {type(operation).__name__}"


def _tell(failure: Failure, target: str) -> None:
    tell(_where(failure))
    console.print(difference_table(failure.differences, target, "expected"))
    if failure.at is not None:
        tell(f"operation  {failure.vector.steps[failure.at].operation}")
    tell(f"in         {failure.vector.configuration}")
