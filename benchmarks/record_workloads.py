"""What recording costs the manager on the workloads of vLLM's real scheduler (`kvref scheduler list`).

Each workload is served several times, recorded in some way or not, each way in a process of its own: an
interpreter adapts to the objects that it meets. As all that is done is the same each time, every call is timed,
and of its turns the shortest counts: what else the machine does falls out. Costs are what the engine's thread
does more, as shares of what the manager's methods take alone.

A second table tells the same by method, in microseconds a call, of all workloads together.

    python benchmarks/record_workloads.py [--turns 5] [--seeds 1] [--way calls ...]
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from record import INSIDE, RELEASE, Recording, Timed

from kvref.record.settings import Settings
from kvref.scheduler.workload import Workload
from kvref.scheduler.workloads import WORKLOADS

ALONE: Final = "alone"
WAYS: Final[dict[str, dict[str, Any] | None]] = {
    ALONE: None,
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

Seconds = dict[str, dict[str, dict[str, float]]]
"""By way, workload and method."""


def outside(arguments: argparse.Namespace, words: list[str]) -> None:
    """Run this file in the interpreter that has vLLM, once a way, and print its tables."""
    from kvref.targets.vllm import environment, interpreter  # noqa: PLC0415 - not inside

    python = environment.python_for(RELEASE, progress=print)
    measured: Seconds = {}
    calls: Counter[str] = Counter()
    for way in [ALONE, *(arguments.way or [way for way in WAYS if way != ALONE])]:
        with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
            variables = interpreter.variables(Path(folder)) | {INSIDE: way}
            command = [str(python), __file__, *words]
            told = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
        measured[way], counted = json.loads(told.stdout.splitlines()[-1])
        calls |= Counter(counted)
        print(way, file=sys.stderr, flush=True)
    print("\n".join([*by_sort(measured, calls), "", *by_method(measured, calls)]))


def by_sort(measured: Seconds, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by sort of workload as Markdown: a line a sort, a column a way."""
    ways = [way for way in measured if way != ALONE]
    yield f"| workloads | manager alone, µs a call | {' | '.join(ways)} |"
    yield f"| --- | ---: | {' | '.join('---:' for _ in ways)} |"
    for sort, holds in SORTS.items():
        names = [one.name for one in WORKLOADS if holds(one)]
        took = {way: sum(sum(of[name].values()) for name in names) for way, of in measured.items()}
        made = sum(calls[f"{name} {method}"] for name in names for method in measured[ALONE][name])
        row = " | ".join(f"{took[way] / took[ALONE] - 1:+.1%}" for way in ways)
        yield f"| {sort} ({len(names)}) | {took[ALONE] / made * 1e6:.1f} | {row} |"


def by_method(measured: Seconds, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by method as Markdown: microseconds alone, and more in each way; the share of all that it takes more."""
    ways = [way for way in measured if way != ALONE]
    took: dict[str, Counter[str]] = {
        way: sum((Counter(one) for one in of.values()), Counter()) for way, of in measured.items()
    }
    made: Counter[str] = Counter()
    for name, count in calls.items():
        made[name.rpartition(" ")[2]] += count
    yield f"| method | calls | alone, µs | {' | '.join(ways)} |"
    yield f"| --- | ---: | ---: | {' | '.join('---:' for _ in ways)} |"
    for method, count in made.most_common():
        alone = took[ALONE][method]
        more = ((took[way][method] - alone) for way in ways)
        row = " | ".join(f"{one / count * 1e6:+.2f} ({one / took[ALONE].total():+.1%})" for one in more)
        yield f"| {method} | {count} | {alone / count * 1e6:.2f} | {row} |"


def inside(arguments: argparse.Namespace, way: str) -> None:
    """Measure one way, beside vLLM."""
    from kvref.targets.vllm.scheduler.server import prepare, schedulers_for  # noqa: PLC0415 - it imports vLLM

    prepare()
    gc.freeze()  # as vLLM's engine does
    recording, settings = Recording(), WAYS[way]
    measured: dict[str, Counter[str]] = defaultdict(Counter)
    calls: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
        for workload in WORKLOADS:
            with schedulers_for(workload) as build:
                for seed in range(arguments.seeds):
                    shortest: list[int] = []
                    for turn in range(arguments.turns):
                        path = Path(folder) / f"{workload.name}-{seed}-{turn}"
                        recording.settings = None if settings is None else Settings(path, **settings)
                        timed = served(workload, seed, build())
                        if settings is not None:
                            recording.writers.pop(path).close()
                        each = timed.each
                        shortest = [min(pair) for pair in zip(shortest or each, each, strict=True)]
                    for method, nanoseconds in zip(timed.names, shortest, strict=True):
                        measured[workload.name][method] += nanoseconds - timed.clock
                        calls[f"{workload.name} {method}"] += 1
    seconds = {name: {method: of / 1e9 for method, of in one.items()} for name, one in measured.items()}
    print(json.dumps([seconds, calls]))


def served(workload: Workload, seed: int, scheduler: Any) -> Timed:
    """Serve a workload once; how long each call took, and what a recorder does at the end of a step."""
    from kvref.targets.vllm.recorder import recorders_of  # noqa: PLC0415 - it imports vLLM
    from kvref.targets.vllm.scheduler.engine import Engine  # noqa: PLC0415 - it imports vLLM

    manager = scheduler.kv_cache_manager
    timed = Timed(manager)
    for recorder in recorders_of(manager):
        timed.wrap(recorder, ("step_has_run", "sampled", "continues", "continued"))
    engine = Engine(workload, seed, scheduler)
    gc.collect()
    with suppress(Exception):  # some workloads are there to show that vLLM's own scheduler raises
        engine.run()
    return timed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--way", action="append", choices=[way for way in WAYS if way != ALONE])
    parsed = parser.parse_args()
    inside(parsed, os.environ[INSIDE]) if INSIDE in os.environ else outside(parsed, sys.argv[1:])
