"""`docs/proofs.md`: the table of `make prove` without its times, so that it can be compared."""

from collections.abc import Iterable, Sequence

from tools.prove.parts import Row
from tools.prove.statement import Reach

HEAD = """# What a machine has checked

Written by `python -m tools.prove --write`, and held against a fresh run by `make prove`. Nothing is bounded by
seconds, so every machine gives these lines. What each answer means:

* **proved for all sizes**: z3 finds no exception, whatever the numbers; the theorem's wrong variant is refuted.
* **confirmed over all paths**: CrossHair has followed every path through the code, for all values of the
  arguments within the preconditions; where these are bounds, the line tells them.
* **exhausted up to a bound**: every state within the bound was visited.
* **no counterexample within a stated effort**: CrossHair has followed so many paths, and there are more. This
  is less than the others; the line says why.
"""
TITLES = {
    Reach.PROVED: "Proved for all sizes",
    Reach.CONFIRMED: "Confirmed over all paths",
    Reach.EXHAUSTED: "Exhausted up to a bound",
    Reach.OPEN: "No counterexample within a stated effort",
}


def page(rows: Sequence[Row]) -> str:
    """The page for these rows, by how far they reach."""
    lines = [HEAD]
    for reach, title in TITLES.items():
        chosen = [row for row in rows if row.verdict.reach is reach]
        if chosen:
            lines += [f"## {title}: {len(chosen)}", "", *_table(chosen), ""]
    return "\n".join(lines)


def _table(rows: Iterable[Row]) -> list[str]:
    told = ["| statement | rules | tool | how far | refuted variant |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = (row.statement, " ".join(row.rules), row.tool, row.verdict.detail, row.verdict.wrong or "")
        told.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return told
