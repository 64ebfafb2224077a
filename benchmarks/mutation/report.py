"""What the mutants showed: scores, times, and every survivor with its reason, as docs/mutation.json.

`python benchmarks/mutation/report.py [--out docs/mutation.json]` reads the session files of both managers.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import msgspec
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem
from generate import ROOT, mutated, parsed, place
from survivors import reason_for


class Survivor(msgspec.Struct, frozen=True):
    """A mutant that nothing killed: what it changes, and why that cannot be told; '' if it could."""

    module: str
    line: int
    before: str
    after: str
    cases: int
    why: str


class Scored(msgspec.Struct, frozen=True):
    """One manager. Seconds are of one processor, from the first case to the difference."""

    mutants: int
    in_annotations: int
    run: int
    killed: int
    by: dict[str, int]
    seconds_median: float
    seconds_worst: float
    survivors: list[Survivor]

    @property
    def unexplained(self) -> int:
        """Survivors without a reason."""
        return sum(not one.why for one in self.survivors)


def scored(path: Path) -> Scored:
    """What a session file has."""
    with use_db(str(path), WorkDB.Mode.open) as db:
        items = {item.job_id: item for item in db.work_items}
        results = list(db.results)
    run = [(items[job], result) for job, result in results if result.worker_outcome == WorkerOutcome.NORMAL]
    killed = [json.loads(result.output) for _, result in run if result.test_outcome == TestOutcome.KILLED]
    lived = [(item, result) for item, result in run if result.test_outcome == TestOutcome.SURVIVED]
    by: dict[str, int] = {}
    for one in killed:
        by[one["killer"]] = by.get(one["killer"], 0) + 1
    return Scored(
        mutants=len(items),
        in_annotations=len(results) - len(run),
        run=len(run),
        killed=len(killed),
        by=dict(sorted(by.items(), key=lambda pair: -pair[1])),
        seconds_median=round(median([one["seconds"] for one in killed] or [0.0]), 4),
        seconds_worst=round(max([one["seconds"] for one in killed] or [0.0]), 2),
        survivors=[
            survivor(item, json.loads(result.output)["cases"])
            for item, result in sorted(lived, key=lambda pair: place(pair[0]))
        ],
    )


def survivor(item: WorkItem, cases: int) -> Survivor:
    """What a survivor changes, as the first line that differs."""
    [mutation] = item.mutations
    before = (ROOT / mutation.module_path).read_text("utf-8").splitlines()
    (source,) = mutated(item).values()
    parsed.cache_clear()
    pairs = list(enumerate(zip(before, source.splitlines(), strict=False), 1))
    line, (old, new) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    module = str(mutation.module_path)
    return Survivor(
        module, line, old.strip(), new.strip(), cases, reason_for(module, old.strip(), new.strip())
    )


def main() -> None:
    """Read, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=Path, default=ROOT / "dist")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "mutation.json")
    options = parser.parse_args()
    found = {
        name: scored(path)
        for name in ("optimized", "reference")
        if (path := options.sessions / f"mutation-{name}.sqlite").exists()
    }
    for name, one in found.items():
        other = one.mutants - one.in_annotations
        print(
            f"{name}: {one.run} of {other} mutants run ({one.in_annotations} more are in annotations): {one.killed} "
            f"killed, {len(one.survivors)} live, {one.unexplained} of them without a reason; median "
            f"{one.seconds_median * 1000:.0f} ms to a kill, worst {one.seconds_worst:.2f} s"
        )
        for lived in one.survivors:
            if not lived.why:
                print(f"  {lived.module}:{lived.line}\n    {lived.before}\n    {lived.after}")
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


if __name__ == "__main__":
    main()
