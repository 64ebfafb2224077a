"""What guidance reaches: the histogram of kind, feature and event after so many cases, with it and without.

`python benchmarks/guidance.py [--cases 2000]` prints the smallest cell and the cells below 100 visits.
`python benchmarks/guidance.py --learn 2000 --length 240` learns the aims anew: after every `EPOCH` cases the next aims
are drawn by what is lacking, and the table says how many of each are to be expected.
`python benchmarks/guidance.py --zoo 400` hunts all bugs of the zoo in so many cases with guidance and without it.
"""

import argparse
import math
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import geometric_mean, median
from unittest import mock

import msgspec

from kvref.fuzz import cases, guidance
from kvref.fuzz.choices import Choices
from kvref.fuzz.coverage import Coverage
from kvref.fuzz.histogram import DUE, Cell, below_floor
from kvref.targets.optimized import OptimizedSession
from kvref.zoo import cases as zoo_cases
from kvref.zoo.catalogue import BUGS

FLOOR = 100
EPOCH = 40
TIMES = 10_000
"""How many aims the table has in all, about."""
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


def learn(count: int, length: int) -> None:
    """Write the table of aims: of what lacked most, and longest, there are most."""
    coverage = Coverage()
    times: defaultdict[Cell, float] = defaultdict(float)
    needs: list[int] = []

    def lacking(choices: Choices, number: int) -> Cell | None:
        return choices.weighted(DUE, needs) if number % 4 in guidance.GUIDED else None

    with mock.patch.object(cases, "draw_aim", lacking):
        for first in range(0, count, EPOCH):
            needs = [max(1, 2 * FLOOR - coverage.cells[cell]) for cell in DUE]
            for cell, need in zip(DUE, needs, strict=True):
                times[cell] += need / sum(needs)
            coverage.add(seen(range(first, first + EPOCH), 1, guided=True, length=length))
            told(f"learning, {first + EPOCH} cases of {length} operations", coverage)
    scale = TIMES / sum(times.values())
    aims = [guidance.Aim(*cell, max(1, round(scale * times[cell]))) for cell in DUE]
    lines = b",\n".join(msgspec.json.encode(aim) for aim in aims)
    TABLE.write_bytes(b"[\n" + lines + b"\n]\n")


def hunt_the_zoo(count: int, seed: int) -> None:
    """Operations to the kill of every bug, with guidance and without it; one that lives counts as never."""
    took: dict[bool, dict[str, float]] = {}
    for guided in (False, True):
        zoo_cases.forget_drawn()
        with mock.patch.object(zoo_cases, "draw_case", partial(cases.draw_case, guidance=guided)):
            hunted = [zoo_cases.hunt_cases(bug, "exact", seed, count) for bug in BUGS]
        took[guided] = {one.bug.name: one.operations if one.kill else math.inf for one in hunted}
    uniform, aimed = took[False], took[True]
    sooner = sum(aimed[name] < uniform[name] for name in uniform)
    later = sum(aimed[name] > uniform[name] for name in uniform)
    both = [uniform[name] / aimed[name] for name in uniform if uniform[name] + aimed[name] < math.inf]
    for name, one in (("uniform", uniform), ("guided", aimed)):
        killed = sum(operations < math.inf for operations in one.values())
        print(f"{name}: {killed} of {len(one)} killed, median {median(one.values()):.0f} operations")
    print(
        f"seed {seed}: guided sooner {sooner}, later {later}; uniform takes {geometric_mean(both):.2f} times as many"
    )
    for name in uniform:
        if math.inf in (uniform[name], aimed[name]):
            print(f"  {name}: uniform {uniform[name]}, guided {aimed[name]}")


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
    parser.add_argument("--zoo", type=int)
    arguments = parser.parse_args()
    if arguments.zoo:
        hunt_the_zoo(arguments.zoo, arguments.seed)
        return
    if arguments.learn:
        learn(arguments.learn, arguments.length)
        return
    for name, guided in (("uniform", False), ("guided", True)):
        coverage = Coverage()
        for first in range(0, arguments.cases, STEP):
            last = min(first + STEP, arguments.cases)
            coverage.add(seen(range(first, last), arguments.seed, guided=guided, length=arguments.length))
            told(f"{name}, {last} cases of {arguments.length} operations", coverage)


if __name__ == "__main__":
    main()
