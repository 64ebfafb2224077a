"""What data behind the block ids costs: the same cases on the optimized manager, with and without it.

`python benchmarks/safe.py [--cases 400]`: operations a second of one core, and ratios of one run. The cost
of the data plane alone is what `with` takes longer than `without`; a fuzz operation at level exact draws,
performs, pictures and compares.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from kvref.errors import ConfigurationError
from kvref.fuzz import campaign, generate
from kvref.fuzz.caller import Caller
from kvref.fuzz.cases import random_of
from kvref.fuzz.configurations import draw
from kvref.fuzz.habits import draw_habits
from kvref.fuzz.play import play
from kvref.fuzz.settings import Settings
from kvref.targets.inprocess import InProcessTarget
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession

REPEATS = 5
LENGTH = 60


def with_data(cases: int) -> int:
    """Play cases at level safe; returns how many operations there were."""
    target = InProcessTarget("optimized", OptimizedSession)
    settings = Settings(1, cases, witnessed=cases + 1)
    return sum(len(play(settings, number, target).trace.operations) for number in range(1, cases + 1))


def without_data(cases: int) -> int:
    """The same cases, with nothing behind the ids."""
    operations = 0
    for number in range(1, cases + 1):
        choices = random_of(1, "mixed", number)
        configuration = draw(choices, "mixed")
        try:
            session = OptimizedSession(configuration)
        except ConfigurationError:
            continue
        habits = draw_habits(choices, configuration)
        caller = Caller(choices, configuration, habits, session.apply, lambda _: False, LENGTH, careful=True)
        generate.play(caller)
        generate.wind_down(caller)
        operations += len(caller.operations)
    return operations


def exact(cases: int) -> int:
    """As many cases at level exact against the reference, the data plane on every second one."""
    target = InProcessTarget("optimized", OptimizedSession)
    settings = campaign.Settings(1, cases, None, witnessed=cases + 1, first=1)
    return campaign.run(settings, ReferenceSession, target, lambda _: None).operations


def main() -> None:
    """Measure in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=400)
    cases = parser.parse_args().cases
    torch.set_num_threads(1)
    ways: dict[str, Callable[[int], int]] = {"with": with_data, "without": without_data, "exact": exact}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(REPEATS + 1):
        for name, way in ways.items():
            began = time.process_time()
            operations = way(cases)
            if repeat:  # the first one warms up
                rates[name].append(operations / (time.process_time() - began))
    told = {name: median(found) for name, found in rates.items()}
    for name, rate in told.items():
        print(f"{name:8} {rate:8.0f} operations a second")
    print(f"an operation at level safe costs {told['without'] / told['with']:.2f} times one without data,")
    print(f"and {told['exact'] / told['with']:.2f} times one at level exact")


if __name__ == "__main__":
    main()
