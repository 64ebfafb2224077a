"""What the mutants showed: docs/mutation.json, and docs/mutation.md to read.

`python benchmarks/mutation/report.py` reads the session files of both managers.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec
from found import Found
from generate import ROOT, SESSIONS, kept, modules_of, session_of
from survivors import reason_for

MANAGERS = ("reference", "optimized")


class Survivor(msgspec.Struct, frozen=True):
    """A mutant, as a rule one that nothing killed: what it changes, and why that cannot be told; '' if it could."""

    module: str
    line: int
    before: str
    after: str
    cases: int
    operations: int
    why: str


class Scored(msgspec.Struct, frozen=True):
    """Mutants of a module, or of a manager. Seconds are of one processor, from the first case to the end."""

    mutants: int
    in_annotations: int
    run: int
    killed: int
    lived: int
    unexplained: int
    seconds_median: float
    seconds_worst: float


class Manager(msgspec.Struct, frozen=True):
    """One manager: by what its mutants were killed, and what was played to those that lived.

    `refuted` were killed and have a reason to live nevertheless: it speaks of too much.
    """

    total: Scored
    modules: dict[str, Scored]
    by: dict[str, int]
    least_cases: int
    most_cases: int
    most_seconds: float
    survivors: list[Survivor]
    refuted: list[Survivor]


def scored(mutants: int, in_annotations: int, found: list[Found]) -> Scored:
    """What became of these."""
    seconds = [one.fate.seconds for one in found if one.fate.killer is not None] or [0.0]
    lived = [one for one in found if one.fate.killer is None]
    return Scored(
        mutants=mutants,
        in_annotations=in_annotations,
        run=len(found),
        killed=len(found) - len(lived),
        lived=len(lived),
        unexplained=sum(not reason_for(one.change) for one in lived),
        seconds_median=round(median(seconds), 4),
        seconds_worst=round(max(seconds), 2),
    )


def read(name: str, sessions: Path) -> Manager:
    """What the session files of a manager have."""
    found: list[Found] = []
    modules: dict[str, Scored] = {}
    for path in modules_of(name):
        with session_of(path, sessions) as db:
            mutants, skipped = db.num_work_items, db.num_results
            own = [one for _, one in kept(db)]
        found += own
        if mutants:
            modules[str(path)] = scored(mutants, skipped - len(own), own)
    lived = sorted(
        [one for one in found if one.fate.killer is None],
        key=lambda one: (one.change.module, one.change.line, one.change.after),
    )
    killers = Counter(one.fate.killer for one in found if one.fate.killer is not None)
    played = [one.fate for one in lived]
    return Manager(
        total=scored(
            sum(one.mutants for one in modules.values()),
            sum(one.in_annotations for one in modules.values()),
            found,
        ),
        modules=modules,
        by=dict(killers.most_common()),
        least_cases=min([fate.cases for fate in played], default=0),
        most_cases=max([fate.cases for fate in played], default=0),
        most_seconds=round(max([fate.seconds for fate in played], default=0.0), 1),
        survivors=[told_of(one) for one in lived],
        refuted=[told_of(one) for one in found if one.fate.killer is not None and reason_for(one.change)],
    )


def told_of(found: Found) -> Survivor:
    """What is told of one."""
    change, fate = found.change, found.fate
    return Survivor(
        change.module,
        change.line,
        change.before,
        change.after,
        fate.cases,
        fate.operations,
        reason_for(change),
    )


INTRODUCTION = (
    "Cosmic Ray 8.7.0 changes one place of a manager's source at a time, with every operator that it has; places in "
    "annotations are left out. Nothing kills a mutant but a comparison with what the *other*, unchanged manager showed, "
    "in answers and in state: on the fuzzer's cases, on some of other sizes and some written by hand, on calls that no scheduler makes, at "
    "limits of the pool, in hooks and in words of errors. Both unchanged managers keep every invariant there, so a "
    "mutant that breaks one shows a difference. A reason is a pattern for changes of a line; a pattern that also speaks "
    "of a mutant that was killed is refused by the tests. What was found is kept with a module's text: where that is the "
    "same, a later run goes on, with the cases of its day. Seconds are of one processor, from a mutant's first case to its death. "
    "`benchmarks/mutation/run.py` runs them; `benchmarks/mutation/report.py` writes this page."
)


def page(managers: dict[str, Manager]) -> str:
    """The page to read."""
    lines = [
        "# Mutants of both managers, and what the comparison makes of them",
        "",
        INTRODUCTION,
        "",
        "| | mutants | run | killed | live, with a reason | without | median to a kill | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in managers.items():
        lines.append(_row(f"**{name}**", one.total))
        lines += [_row(f"`{path}`", own) for path, own in one.modules.items()]
    for name, one in managers.items():
        killers = ", ".join(f"{count} {killer}" for killer, count in one.by.items())
        budget = (
            f"Those that live were given at least {one.least_cases} cases, at most {one.most_cases} "
            f"({one.most_seconds:.0f} s)."
        )
        lines += ["", f"## {name.capitalize()}", "", f"Killed by: {killers}.", "", budget]
        for why, own in _by_reason(one.survivors).items():
            lines += ["", f"**{why or 'Without a reason'}** ({len(own)})", "", *_listed(own)]
    return "\n".join(lines) + "\n"


def _row(what: str, one: Scored) -> str:
    return (
        f"| {what} | {one.mutants - one.in_annotations} | {one.run} | {one.killed} | {one.lived - one.unexplained} | "
        f"{one.unexplained} | {one.seconds_median * 1000:.0f} ms | {one.seconds_worst:.2f} s |"
    )


def _by_reason(survivors: Iterable[Survivor]) -> dict[str, list[Survivor]]:
    """Those without a reason first, then by how many have one."""
    reasons: dict[str, list[Survivor]] = {}
    for one in survivors:
        reasons.setdefault(one.why, []).append(one)
    return dict(sorted(reasons.items(), key=lambda pair: (bool(pair[0]), -len(pair[1]))))


def _listed(survivors: list[Survivor]) -> Iterable[str]:
    """By line, what was made of it."""
    places: dict[tuple[str, int, str], list[str]] = {}
    for one in survivors:
        places.setdefault((one.module, one.line, one.before), []).append(one.after)
    for (module, line, before), afters in places.items():
        yield f"- `{module}:{line}` ``{before}``"
        for after in afters:
            yield f"  - ``{after or '(nothing)'}``"


def main() -> None:
    """Read, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=Path, default=SESSIONS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "mutation.json")
    options = parser.parse_args()
    managers = {name: read(name, options.sessions) for name in MANAGERS}
    for name, one in managers.items():
        total = one.total
        print(
            f"{name}: {total.run} of {total.mutants - total.in_annotations} mutants run ({total.in_annotations} more "
            f"are in annotations): {total.killed} killed, {total.lived} live, {total.unexplained} of them without a "
            f"reason; median {total.seconds_median * 1000:.0f} ms to a kill, worst {total.seconds_worst:.2f} s"
        )
        for lived in one.survivors:
            if not lived.why:
                print(f"  {lived.module}:{lived.line}\n    {lived.before}\n    {lived.after}")
        for killed in one.refuted:
            print(
                f"  killed, against its reason: {killed.module}:{killed.line}\n    {killed.before}\n    {killed.after}"
            )
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(managers), indent=1) + b"\n")
    options.out.with_suffix(".md").write_text(page(managers), "utf-8")


if __name__ == "__main__":
    main()
