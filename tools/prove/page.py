"""`docs/proofs.md`: what `make prove` prints, without its times, so that it can be compared; and what the long part adds.

What the long part said is kept in `docs/proofs.json`, for it takes too long to be said anew by each run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tools.prove.parts import PATHS, PATHS_IN_LONG, Row
from tools.prove.statement import Reach

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "proofs.md"
KEPT = DOCS / "proofs.json"

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
LONG_HEAD = f"""## What the long part adds

`make prove-long` follows what has no last path for {PATHS_IN_LONG} paths a condition instead of {PATHS}. What it said of
{{count}} functions is kept in [`proofs.json`](proofs.json). It also visits every configuration of `kvref check`:
[`check.md`](check.md).
"""
TITLES = {
    Reach.PROVED: "Proved for all sizes",
    Reach.CONFIRMED: "Confirmed over all paths",
    Reach.EXHAUSTED: "Exhausted up to a bound",
    Reach.OPEN: "No counterexample within a stated effort",
}


def page(rows: Sequence[Row], kept: Sequence[Row]) -> str:
    """The page for the rows of a run, and those kept of the long part."""
    long = [LONG_HEAD.format(count=len(kept)), *_sections("###", kept)] if kept else []
    return "\n".join([HEAD, *_sections("##", rows), *long])


def read_kept() -> list[Row]:
    """The long part's rows."""
    return msgspec.json.decode(KEPT.read_bytes(), type=list[Row]) if KEPT.exists() else []


def keep(rows: Iterable[Row]) -> None:
    """Put rows of the long part in place of what its parts said before."""
    new = [replace(row, seconds=0) for row in rows]
    fresh = {row.part for row in new}
    every = sorted([*new, *(row for row in read_kept() if row.part not in fresh)], key=_place)
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(every), indent=1) + b"\n")


def _place(row: Row) -> tuple[str, str]:
    return row.part, row.statement


def _sections(mark: str, rows: Sequence[Row]) -> Iterator[str]:
    for reach, title in TITLES.items():
        chosen = [row for row in rows if row.verdict.reach is reach]
        if chosen:
            yield from (f"{mark} {title}: {len(chosen)}", "", *_table(chosen), "")


def _table(rows: Iterable[Row]) -> list[str]:
    told = ["| statement | rules | tool | how far | refuted variant |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = (row.statement, " ".join(row.rules), row.tool, row.verdict.detail, row.verdict.wrong or "")
        told.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return told
