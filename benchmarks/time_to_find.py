"""How long it takes to meet each catalogued deviation of the real vLLM, from a cold start.

`python benchmarks/time_to_find.py [--seeds 5] [--seconds 180] [--out docs/time_to_find.json]`: one campaign
a seed, until all are met or the processor time is spent. First meetings are noted at the end of the batch
of forty cases that had them. Seconds are of processor time, both processes together and vLLM's start
included: on two idle cores the wall clock shows less.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

from kvref.fuzz.campaign import Report, Settings, run
from kvref.targets.base import Target
from kvref.targets.reference import ReferenceSession
from kvref.targets.registry import open_target

PORTION = 400
"""So many cases are run before it is seen whether to go on."""


class Meeting(msgspec.Struct, frozen=True):
    """When a deviation was first met: after so many cases, compared operations and processor seconds."""

    cases: int
    operations: int
    seconds: float


@dataclass
class Search:
    """The campaign of one seed."""

    met: dict[str, Meeting] = field(default_factory=dict)
    cases: int = 0
    operations: int = 0
    seconds: float = 0.0

    def note(self, report: Report, seconds: float) -> None:
        """What a batch has met for the first time."""
        for name in report.deviations:
            told = Meeting(self.cases + report.cases, self.operations + report.operations, round(seconds, 1))
            self.met.setdefault(name, told)


class Results(msgspec.Struct, frozen=True):
    """First meetings by seed and id; `spent` has how much was run by seed."""

    target: str
    budget_seconds: float
    met: dict[int, dict[str, Meeting]]
    spent: dict[int, Meeting]


def search(seed: int, name: str, budget: float) -> Search:
    """Run one campaign until everything in the catalogue is met, or the time is spent."""
    began = time.process_time()
    target: Target = open_target(name, python=None, tell=print)
    found = Search()

    def seconds() -> float:
        return time.process_time() - began + target.cpu_seconds

    try:
        wanted = {one.id for one in target.catalogue}
        while not wanted <= found.met.keys() and seconds() < budget:
            settings = Settings(seed, PORTION, None, first=found.cases)
            seen = run(settings, ReferenceSession, target, lambda report: found.note(report, seconds()))
            if seen.failure or seen.findings:
                raise SystemExit(f"seed {seed}: {seen.failure or seen.findings[0].title}")
            found.cases += seen.cases
            found.operations += seen.operations
            print(f"seed {seed}: {found.cases} cases, {len(found.met)} of {len(wanted)} met", flush=True)
        found.seconds = seconds()
    finally:
        target.close()
    return found


def tell(results: Results, wanted: list[str]) -> None:
    """A line a deviation: medians, a seed without a meeting counting as later than any other."""
    print(f"{'id':6} {'seeds':>5} {'cases':>8} {'operations':>11} {'seconds':>8} {'worst':>8}")
    for name in wanted:
        found = [met[name] for met in results.met.values() if name in met]
        late = [float("inf")] * (len(results.met) - len(found))
        cases = median([one.cases for one in found] + late)
        operations = median([one.operations for one in found] + late)
        seconds = [one.seconds for one in found] + late
        print(
            f"{name:6} {len(found):>5} {cases:>8.0f} {operations:>11.0f} {median(seconds):>8.1f} {max(seconds):>8.1f}"
        )


def main() -> None:
    """Search, print, and keep what was found after every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="vllm==0.23.0")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--out", type=Path, default=Path("docs/time_to_find.json"))
    options = parser.parse_args()
    results = Results(options.target, options.seconds, {}, {})
    for seed in range(1, options.seeds + 1):
        found = search(seed, options.target, options.seconds)
        results.met[seed] = dict(sorted(found.met.items()))
        results.spent[seed] = Meeting(found.cases, found.operations, round(found.seconds, 1))
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    opened = open_target(options.target, python=None, tell=print)
    wanted = [one.id for one in opened.catalogue]
    opened.close()
    tell(results, wanted)


if __name__ == "__main__":
    main()
