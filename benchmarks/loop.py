"""How many operations the fuzzer's own loop compares in a second of processor time, all processes together.

Each figure is `kvref fuzz` in a process of its own, drawing, comparison and invariants included; the best
and the median of some repetitions, in turn, beside what is aimed at. With `--tree`, the same follows with
the packages of that folder, which `tools/compile.py --tree` has made; a figure belongs to its form. Other work on the machine takes from
caches and shared cores, and so from these figures: compare two states of the code in turn, and best with best.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

NEVER = 10**9


@dataclass(frozen=True)
class Loop:
    """One way to fuzz: invariants on one case in `witnessed`, data behind one careful case in `followed`."""

    target: str
    checks: str
    witnessed: int
    followed: int
    aim: int | None = None
    tree: Path | None = None
    """Where the packages are; None for those of this interpreter."""


def loops(targets: list[str]) -> list[Loop]:
    """What is measured, and the operations a second that are aimed at."""
    found = []
    for target in targets:
        if target.startswith("vllm"):
            found.append(Loop(target, "invariants sampled", 10, NEVER, 4_000))
            continue
        found += [
            Loop(target, "every invariant after every operation", 1, NEVER, 10_000),
            Loop(target, "invariants sampled", 10, NEVER, 20_000),
            Loop(target, "invariants and data sampled, as by default", 10, 5),
            Loop(target, "every invariant, data behind every careful case", 1, 1),
        ]
    return found


def rate(loop: Loop, seed: int, cases: int) -> float:
    """Operations compared for each second of processor time, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = {
            "--target": loop.target,
            "--seed": seed,
            "--cases": cases,
            "--witnessed": loop.witnessed,
            "--followed": loop.followed,
            "--findings": folder,
            "--report": report,
        }
        words = [str(word) for pair in arguments.items() for word in pair]
        places = {} if loop.tree is None else {"PYTHONPATH": str(loop.tree.resolve())}
        done = subprocess.run(  # noqa: S603 - our own command
            # Without -P the folder at hand, a checkout mostly, would come before the tree.
            [sys.executable, *(["-P"] if places else []), "-m", "kvref.cli", "fuzz", *words],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | places,
        )
        if done.returncode:
            sys.exit(
                f"kvref fuzz {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        seen: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
        return seen["operations_a_cpu_second"]


def main() -> None:
    """Measure in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--targets", nargs="+", help="as kvref fuzz has them; those that are there by default"
    )
    parser.add_argument("--tree", type=Path, help="packages whose loop is native, to be measured as well")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    compiled = ["compiled"] if find_spec("kvref.compiled") else []
    every = loops(options.targets or ["optimized", *compiled, "vllm==0.23.0"])
    if options.tree is not None:
        every += [replace(loop, tree=options.tree) for loop in every]
    rates: dict[Loop, list[float]] = {loop: [] for loop in every}
    for _ in range(options.repetitions):
        for loop in every:
            rates[loop].append(rate(loop, options.seed, options.cases))
    table = Table("target", "packages", "what is checked")
    for heading in ("median", "best", "aim"):
        table.add_column(heading, justify="right")
    for loop, seen in rates.items():
        aim = "-" if loop.aim is None else f"{loop.aim:,}"
        packages = "as installed" if loop.tree is None else "native loop"
        table.add_row(loop.target, packages, loop.checks, f"{median(seen):,.0f}", f"{max(seen):,.0f}", aim)
    console = Console()
    console.print(
        f"operations a CPU second; seed {options.seed}, {options.cases} cases a run", highlight=False
    )
    console.print(table)


if __name__ == "__main__":
    main()
