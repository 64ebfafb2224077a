"""What guidance reaches: the histogram of kind, feature and event after so many cases, with it and without.

`python benchmarks/guidance.py [--cases 2000]` prints the smallest cell and the cells below 100 visits.
`python benchmarks/guidance.py --learn 8000` learns the aims anew: after every `EPOCH` cases the next aims
are drawn by what is lacking, and the table says how many there were of each.
"""

import argparse
from collections import Counter
from pathlib import Path
from unittest import mock

import msgspec

from kvref.fuzz import cases, guidance
from kvref.fuzz.choices import Choices
from kvref.fuzz.coverage import Coverage
from kvref.fuzz.histogram import DUE, Cell, below_floor
from kvref.targets.optimized import OptimizedSession

FLOOR = 100
EPOCH = 200
STEP = 1000
LENGTH = 60
TABLE = Path(guidance.__file__).with_name("aims.json")


def seen(numbers: range, seed: int, *, guided: bool, length: int = LENGTH) -> Coverage:
    """What cases take part in."""
    coverage = Coverage()
    for number in numbers:
        case = cases.draw_case(seed, "mixed", number, length, OptimizedSession, (), guidance=guided)
        coverage.add(case.coverage)
    return coverage


def learn(count: int) -> None:
    """Write the table of aims."""
    coverage, times = Coverage(), Counter[Cell]()

    def lacking(choices: Choices, number: int) -> Cell | None:
        if number % 4 not in guidance.GUIDED:
            return None
        needs = [max(0, 2 * FLOOR - coverage.cells[cell]) for cell in DUE]
        aim = choices.weighted(DUE, needs) if any(needs) else choices.choice(DUE)
        times[aim] += 1
        return aim

    with mock.patch.object(cases, "draw_aim", lacking):
        for first in range(0, count, EPOCH):
            coverage.add(seen(range(first, first + EPOCH), 1, guided=True))
            told(f"learning, {first + EPOCH} cases", coverage)
    aims = [guidance.Aim(*cell, times[cell]) for cell in DUE if times[cell]]
    lines = b",\n".join(msgspec.json.encode(aim) for aim in aims)
    TABLE.write_bytes(b"[\n" + lines + b"\n]\n")


def told(what: str, coverage: Coverage) -> None:
    """The smallest cells."""
    below = below_floor(coverage, FLOOR)
    smallest = min(DUE, key=lambda cell: coverage.cells[cell])
    print(
        f"{what}: {len(below)} of {len(DUE)} cells below {FLOOR} visits, "
        f"the smallest {coverage.cells[smallest]} ({smallest})",
        flush=True,
    )


def main() -> None:
    """Measure, or learn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--learn", type=int)
    arguments = parser.parse_args()
    if arguments.learn:
        learn(arguments.learn)
        return
    for name, guided in (("uniform", False), ("guided", True)):
        coverage = Coverage()
        for first in range(0, arguments.cases, STEP):
            last = min(first + STEP, arguments.cases)
            coverage.add(seen(range(first, last), arguments.seed, guided=guided, length=arguments.length))
            told(f"{name}, {last} cases of {arguments.length} operations", coverage)


if __name__ == "__main__":
    main()
