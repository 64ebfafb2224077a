"""Prints what a machine has checked, as one table. Times are CPU seconds of a line.

Exit code 0: nothing is refuted, and every wrong variant is; 1: not so.
"""

import argparse
import os
import sys
from collections import Counter

from rich.console import Console
from rich.table import Table

from tools.prove.page import PAGE, keep, page, read_kept
from tools.prove.parts import Row, parts, rows

WIDTH = 160
"""Of the table, where it is not printed on a terminal."""


def main() -> int:
    """Decide every statement, print the table, and hold the page against it."""
    parser = argparse.ArgumentParser(prog="python -m tools.prove", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts, such as spec.hits; all, if none is given")
    parser.add_argument(
        "--long",
        action="store_true",
        help="only what has no last path, further",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}, or keep the long part")
    options = parser.parse_args()
    chosen = [part for part in parts(is_long=options.long) if not options.only or part in options.only]
    if not chosen:
        parser.error(f"there is no part {', '.join(options.only)}")
    found = []
    for row in rows(chosen, is_long=options.long, workers=options.workers):
        found.append(row)
        if options.long and options.write and row.verdict.holds:
            keep(one for one in found if one.part == row.part)
        sys.stderr.write(f"{len(found)}: {row.verdict.reach.value}: {row.statement}\n")
    found.sort(key=lambda row: chosen.index(row.part))
    Console(width=None if sys.stdout.isatty() else WIDTH).print(_table(found))
    reached = Counter(row.verdict.reach.value for row in found)
    print("; ".join(f"{count} {reach}" for reach, count in reached.items()))
    failed = [row for row in found if not row.verdict.holds]
    for row in failed:
        what = row.verdict.detail if row.verdict.wrong_is_refuted else "its wrong variant is not refuted"
        print(f"FAILED: {row.statement}: {what}")
    if options.only or options.long or failed:
        return 1 if failed else 0
    text = page(found, read_kept())
    if options.write:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print(f"docs/{PAGE.name} tells something else: python -m tools.prove --write")
        return 1
    return 0


def _table(found: list[Row]) -> Table:
    table = Table("statement", "rules", "tool", "result", "wrong variant", "s")
    for row in found:
        verdict = row.verdict
        result = f"{verdict.reach.value} ({verdict.detail})" if verdict.detail else verdict.reach.value
        wrong = "" if verdict.wrong is None else _told(verdict.wrong, refuted=verdict.wrong_is_refuted)
        table.add_row(row.statement, " ".join(row.rules), row.tool, result, wrong, f"{row.seconds:.1f}")
    return table


def _told(wrong: str, *, refuted: bool) -> str:
    return f"refuted: {wrong}" if refuted else f"NOT REFUTED: {wrong}"


if __name__ == "__main__":
    sys.exit(main())
