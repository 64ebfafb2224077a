"""How fast the state machine steps, on one core: the optimized manager, every invariant after each step.

`python benchmarks/machine.py [--examples 200]`: steps and operations for each second of processor time, by
level. A step is one rule; at level exact the reference runs beside, and everything is compared as well.
"""

import argparse
import time
from collections import Counter
from typing import get_args

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from kvref.operations import Operation
from kvref.testing import PROFILES, KVCacheMachine, Level

TARGET = 800
"""Steps a second that are asked for, at level invariants."""


def measure(level: Level, examples: int) -> tuple[float, float]:
    """Steps and operations a second of processor time."""
    counted: Counter[str] = Counter()

    @seed(1)
    class Counted(KVCacheMachine):
        target = "optimized"

        def perform(self, operation: Operation | None) -> bool:
            counted["operations"] += 1
            return super().perform(operation)

        def check_invariants(self, *rest: object) -> None:
            counted["steps"] += 1
            super().check_invariants(*rest)  # type: ignore[arg-type] # what Hypothesis passes on

    Counted.level = level
    began = time.process_time()
    run_state_machine_as_test(Counted, settings=settings(PROFILES["ci"], max_examples=examples))
    seconds = time.process_time() - began
    return counted["steps"] / seconds, counted["operations"] / seconds


def main() -> None:
    """Print a line a level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    examples = parser.parse_args().examples
    for level in get_args(Level):
        steps, operations = measure(level, examples)
        asked = f" (asked for: {TARGET})" if level == "invariants" else ""
        print(f"{level:>10}: {steps:7.0f} steps/s{asked}, {operations:7.0f} operations/s")


if __name__ == "__main__":
    main()
