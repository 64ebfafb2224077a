"""What a campaign holds in memory: of one process, after so many cases and after ten times as many.

`python benchmarks/memory.py [--cases 500] [--faulty]`: resident memory in MB. `--faulty` finds something
in nearly every case.
"""

import argparse
import os
from pathlib import Path

from kvref.fuzz.campaign import run
from kvref.fuzz.settings import Settings
from kvref.fuzz.tally import Report, encode
from kvref.operations import Free, Observation, Operation
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.picture import Opener
from kvref.targets.reference import ReferenceSession

MB = 1e6
STEPS = (1, 2, 5, 10)


class Forgets(OptimizedSession):
    """Every second request is never freed."""

    freed = 0

    def apply(self, operation: Operation) -> Observation:
        """Leave out a free."""
        self.freed += isinstance(operation, Free)
        if isinstance(operation, Free) and self.freed % 2 == 0:
            return Observation()
        return super().apply(operation)


def resident() -> float:
    """The resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def main() -> None:
    """Run one campaign, and look at it from time to time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--faulty", action="store_true")
    arguments = parser.parse_args()
    looks = [step * arguments.cases for step in STEPS]
    opener: Opener = Forgets if arguments.faulty else OptimizedSession

    def look(report: Report) -> None:
        while looks and report.cases >= looks[0]:
            looks.pop(0)
            told = f"{report.cases} cases: {resident():.1f} MB resident, report {len(encode(report)) / MB:.3f} MB"
            print(f"{told}, {len(report.findings)} findings met {report.found.total} times", flush=True)

    run(Settings(1, looks[-1], None), ReferenceSession, InProcessTarget("optimized", opener), look)


if __name__ == "__main__":
    main()
