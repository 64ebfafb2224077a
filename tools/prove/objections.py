"""`docs/contracts.md`: which tool objects to mistakes in a function, as `benchmarks/contracts.py` saw it."""

import json
from collections.abc import Iterator, Mapping

from tools.prove.page import DOCS

KEPT = DOCS / "contracts.json"
PAGE = DOCS / "contracts.md"
CROSSHAIR, TEST, ENDLESS, NOBODY, EXPLAINED = "CrossHair", "test", "never ends", "nobody", "explained"
COLUMNS = (CROSSHAIR, TEST, ENDLESS, EXPLAINED)

Fates = Mapping[str, Mapping[str, int]]
"""By function, how many of its mutants met whose objection."""

HEAD = """# Who objects to a mistake

Written by `python benchmarks/contracts.py --write`. Functions of `spec` that have a contract, and all functions of
`invariants`, get one mistake at a time: another operator, comparison, constant or condition, a constant answer, nothing
told. First CrossHair is asked, with the function's contract and the lemmas about it and about what calls it; where it
finds no counterexample, the tests beside the function are run. *Explained*: nothing can object, and `SURVIVORS` in
`benchmarks/contracts.py` says why. Mutants are those drawn, spread over the function."""


def read() -> dict[str, dict[str, int]]:
    """What was seen before."""
    kept: dict[str, dict[str, int]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return kept


def keep(fates: Fates) -> None:
    """Write what was seen, and the page."""
    KEPT.write_text(json.dumps(fates, indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(fates))


def page(fates: Fates) -> str:
    """The page for what was seen."""
    packages = sorted({name.partition(".")[0] for name in fates}, reverse=True)
    return "\n".join([HEAD, "", *(line for package in packages for line in _section(package, fates))])


def _section(package: str, fates: Fates) -> Iterator[str]:
    own = {name: fates[name] for name in sorted(fates) if name.startswith(f"{package}.")}
    sums = [sum(one.get(column, 0) for one in own.values()) for column in COLUMNS]
    yield from (f"## {package}: {sum(sums)} mutants of {len(own)} functions", "")
    yield from (f"| function | {' | '.join(COLUMNS)} |", "| --- |" + " --: |" * len(COLUMNS))
    yield f"| all | {' | '.join(map(str, sums))} |"
    for name, one in own.items():
        counts = " | ".join(str(one.get(column, "")) for column in COLUMNS)
        yield f"| {name} | {counts} |"
    yield ""
