"""What recording costs the manager on the workloads of vLLM's real scheduler (`kvref scheduler list`).

Each workload is served several times, in turn recorded and not, each way to record in a process of its own: an
interpreter adapts to the objects that it meets. As all that is done is the same each time, every call is timed,
and of its turns the shortest counts: what else the machine does falls out. Costs are what the engine's thread
does more, as shares of what the manager's methods take alone in the same processes.

A second table tells the same by method, in microseconds a call, of all workloads together.

    python benchmarks/record_workloads.py [--turns 6] [--plain] [--way calls ...]
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Any, Final

from record import INSIDE, RELEASE, Recording, Timed

from kvref.record.notes import TAPS
from kvref.record.settings import Settings
from kvref.scheduler.workload import Workload
from kvref.scheduler.workloads import WORKLOADS

WAYS: Final[dict[str, dict[str, Any]]] = {
    "calls": {"blocks": False},
    "calls and blocks": {},
    "and the state every 20 steps": {"snapshots": 20},
    "and the state every 10 steps": {"snapshots": 10},
    "and the state at every step": {"snapshots": 1},
}
SORTS: Final[dict[str, Callable[[Workload], bool]]] = {
    "all": lambda _: True,
    "one full group": lambda one: len(one.groups) == 1 and one.groups[0].__class__.__name__ == "FullGroup",
    "other groups": lambda one: len(one.groups) > 1 or one.groups[0].__class__.__name__ != "FullGroup",
    "synchronous": lambda one: not one.asynchronous,
    "asynchronous": lambda one: one.asynchronous,
    "drafts": lambda one: one.drafts > 0,
    "a connector": lambda one: one.connected,
    "streaming sessions": lambda one: one.sessions > 0,
}

Shortest = dict[str, list[tuple[str, int]]]
"""By workload, every call: its method, and nanoseconds."""

Sums = dict[str, dict[str, Counter[str]]]
"""Nanoseconds by way, workload and method."""


def outside(arguments: argparse.Namespace, words: list[str]) -> None:
    """Run this file in the interpreter that has vLLM, once a way, and print its tables."""
    from kvref.targets.vllm import environment, interpreter  # noqa: PLC0415 - not inside

    python = environment.python_for(RELEASE, progress=print)
    alone: Sums = {}
    recorded: Sums = {}
    calls: Counter[str] = Counter()
    for way in arguments.way or list(WAYS):
        with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
            variables = interpreter.variables(Path(folder)) | {INSIDE: way}
            if arguments.plain:
                variables[TAPS] = "plain"
            command = [str(python), __file__, *words]
            told = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
        both: list[Shortest] = json.loads(told.stdout.splitlines()[-1])
        alone[way], recorded[way] = map(summed, both)
        calls |= Counter(f"{name} {method}" for name, each in both[1].items() for method, _ in each)
        print(way, file=sys.stderr, flush=True)
    print("\n".join([*by_sort(alone, recorded, calls), "", *by_method(alone, recorded, calls)]))


def summed(shortest: Shortest) -> dict[str, Counter[str]]:
    """Nanoseconds by workload and method."""
    sums: dict[str, Counter[str]] = {}
    for name, each in shortest.items():
        sums[name] = Counter()
        for method, nanoseconds in each:
            sums[name][method] += nanoseconds
    return sums


def by_sort(alone: Sums, recorded: Sums, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by sort of workload as Markdown: a line a sort, a column a way."""
    yield f"| workloads | manager alone, µs a call | {' | '.join(recorded)} |"
    yield f"| --- | ---: | {' | '.join('---:' for _ in recorded)} |"
    for sort, holds in SORTS.items():
        names = [one.name for one in WORKLOADS if holds(one)]
        without, more = (
            [sum(of[name].total() for name in names) for of in sums.values()] for sums in (alone, recorded)
        )
        made = sum(calls[f"{name} {method}"] for name in names for method in next(iter(alone.values()))[name])
        row = " | ".join(f"{one / other - 1:+.1%}" for one, other in zip(more, without, strict=True))
        yield f"| {sort} ({len(names)}) | {min(without) / made / 1e3:.1f} | {row} |"


def by_method(alone: Sums, recorded: Sums, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by method as Markdown: microseconds alone, and more in each way; the share of all that it takes more."""
    without, more = (
        {way: sum(of.values(), Counter[str]()) for way, of in sums.items()} for sums in (alone, recorded)
    )
    made: Counter[str] = Counter()
    for name, count in calls.items():
        made[name.rpartition(" ")[2]] += count
    yield f"| method | calls | alone, µs | {' | '.join(recorded)} |"
    yield f"| --- | ---: | ---: | {' | '.join('---:' for _ in recorded)} |"
    for method, count in made.most_common():
        costs = {way: more[way][method] - without[way][method] for way in recorded}
        row = " | ".join(
            f"{cost / count / 1e3:+.2f} ({cost / without[way].total():+.1%})" for way, cost in costs.items()
        )
        shortest = min(of[method] for of in without.values())
        yield f"| {method} | {count} | {shortest / count / 1e3:.2f} | {row} |"


def inside(arguments: argparse.Namespace, way: str) -> None:
    """Measure one way, beside vLLM."""
    from kvref.targets.vllm.scheduler.server import prepare, schedulers_for  # noqa: PLC0415 - it imports vLLM

    prepare()
    gc.freeze()  # as vLLM's engine does
    recording = Recording()
    measured: list[Shortest] = [{}, {}]
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder, ExitStack() as opened:
        building = [(workload, opened.enter_context(schedulers_for(workload))) for workload in WORKLOADS]
        for turn in range(arguments.turns):
            for (workload, build), (shortest, is_recorded) in product(
                building, zip(measured, (False, True), strict=True)
            ):
                path = Path(folder) / f"{workload.name}-{turn}"
                recording.settings = Settings(path, **WAYS[way]) if is_recorded else None
                timed = served(workload, build())
                if is_recorded:
                    recording.writers.pop(path).close()
                each = [
                    (name, took - timed.clock) for name, took in zip(timed.names, timed.each, strict=True)
                ]
                before = shortest.get(workload.name, each)
                shortest[workload.name] = [min(pair) for pair in zip(before, each, strict=True)]
    print(json.dumps(measured))


def served(workload: Workload, scheduler: Any) -> Timed:
    """Serve a workload once; how long each call took, and what a recorder does at the end of a step."""
    from kvref.targets.vllm.recorder import recorders_of  # noqa: PLC0415 - it imports vLLM
    from kvref.targets.vllm.scheduler.engine import Engine  # noqa: PLC0415 - it imports vLLM

    manager = scheduler.kv_cache_manager
    timed = Timed(manager)
    for recorder in recorders_of(manager):
        timed.wrap(recorder, ("step_has_run", "sampled", "continues", "continued"))
    engine = Engine(workload, 0, scheduler)
    gc.collect()
    with suppress(Exception):  # some workloads are there to show that vLLM's own scheduler raises
        engine.run()
    return timed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--plain", action="store_true", help="without native taps, even where there are any")
    parser.add_argument("--way", action="append", choices=list(WAYS))
    parsed = parser.parse_args()
    inside(parsed, os.environ[INSIDE]) if INSIDE in os.environ else outside(parsed, sys.argv[1:])
