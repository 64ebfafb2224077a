"""What recording costs the manager on the workloads of vLLM's real scheduler (`kvref scheduler list`).

Each workload is served several times, recorded in some way or not, each way in a process of its own: an
interpreter adapts to the objects that it meets. As all that is done is the same each time, every call is timed,
and of its turns the shortest counts: what else the machine does falls out. There are several rounds of all
ways, since a machine may be slower for a while. Costs are what the engine's thread does more, as shares of what
the manager's methods take alone.

A second table tells the same by method, in microseconds a call, of all workloads together.

    python benchmarks/record_workloads.py [--turns 3] [--rounds 3] [--plain] [--way calls ...]
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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from record import INSIDE, RELEASE, Recording, Timed

from kvref.record.notes import TAPS
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

Shortest = dict[str, list[tuple[str, int]]]
"""By workload, every call: its method, and nanoseconds."""

Nanoseconds = dict[str, dict[str, Counter[str]]]
"""By way, workload and method."""


def outside(arguments: argparse.Namespace, words: list[str]) -> None:
    """Run this file in the interpreter that has vLLM, once a way and round, and print its tables."""
    from kvref.targets.vllm import environment, interpreter  # noqa: PLC0415 - not inside

    python = environment.python_for(RELEASE, progress=print)
    shortest: dict[str, Shortest] = {}
    for turn in range(arguments.rounds):
        for way in [ALONE, *(arguments.way or [way for way in WAYS if way != ALONE])]:
            with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
                variables = interpreter.variables(Path(folder)) | {INSIDE: way}
                if arguments.plain:
                    variables[TAPS] = "plain"
                command = [str(python), __file__, *words]
                told = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
            found: Shortest = json.loads(told.stdout.splitlines()[-1])
            shortest[way] = {
                name: [min(pair) for pair in zip(calls, shortest.get(way, found)[name], strict=True)]
                for name, calls in found.items()
            }
            print(f"round {turn + 1}: {way}", file=sys.stderr, flush=True)
    measured: Nanoseconds = defaultdict(lambda: defaultdict(Counter))
    calls: Counter[str] = Counter()
    for way, of in shortest.items():
        for name, each in of.items():
            for method, nanoseconds in each:
                measured[way][name][method] += nanoseconds
        calls |= Counter(f"{name} {method}" for name, each in of.items() for method, _ in each)
    print("\n".join([*by_sort(measured, calls), "", *by_method(measured, calls)]))


def by_sort(measured: Nanoseconds, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by sort of workload as Markdown: a line a sort, a column a way."""
    ways = [way for way in measured if way != ALONE]
    yield f"| workloads | manager alone, µs a call | {' | '.join(ways)} |"
    yield f"| --- | ---: | {' | '.join('---:' for _ in ways)} |"
    for sort, holds in SORTS.items():
        names = [one.name for one in WORKLOADS if holds(one)]
        took = {way: sum(sum(of[name].values()) for name in names) for way, of in measured.items()}
        made = sum(calls[f"{name} {method}"] for name in names for method in measured[ALONE][name])
        row = " | ".join(f"{took[way] / took[ALONE] - 1:+.1%}" for way in ways)
        yield f"| {sort} ({len(names)}) | {took[ALONE] / made / 1e3:.1f} | {row} |"


def by_method(measured: Nanoseconds, calls: Mapping[str, int]) -> Iterator[str]:
    """Costs by method as Markdown: microseconds alone, and more in each way; the share of all that it takes more."""
    ways = [way for way in measured if way != ALONE]
    took = {way: sum(of.values(), Counter[str]()) for way, of in measured.items()}
    made: Counter[str] = Counter()
    for name, count in calls.items():
        made[name.rpartition(" ")[2]] += count
    yield f"| method | calls | alone, µs | {' | '.join(ways)} |"
    yield f"| --- | ---: | ---: | {' | '.join('---:' for _ in ways)} |"
    for method, count in made.most_common():
        alone = took[ALONE][method]
        more = ((took[way][method] - alone) for way in ways)
        row = " | ".join(f"{one / count / 1e3:+.2f} ({one / took[ALONE].total():+.1%})" for one in more)
        yield f"| {method} | {count} | {alone / count / 1e3:.2f} | {row} |"


def inside(arguments: argparse.Namespace, way: str) -> None:
    """Measure one way, beside vLLM."""
    from kvref.targets.vllm.scheduler.server import prepare, schedulers_for  # noqa: PLC0415 - it imports vLLM

    prepare()
    gc.freeze()  # as vLLM's engine does
    recording, settings = Recording(), WAYS[way]
    measured: Shortest = {}
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder, ExitStack() as opened:
        building = [(workload, opened.enter_context(schedulers_for(workload))) for workload in WORKLOADS]
        for turn in range(arguments.turns):
            for workload, build in building:
                path = Path(folder) / f"{workload.name}-{turn}"
                recording.settings = None if settings is None else Settings(path, **settings)
                timed = served(workload, build())
                if settings is not None:
                    recording.writers.pop(path).close()
                each = [
                    (name, took - timed.clock) for name, took in zip(timed.names, timed.each, strict=True)
                ]
                before = measured.get(workload.name, each)
                measured[workload.name] = [min(pair) for pair in zip(before, each, strict=True)]
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
    parser.add_argument("--turns", type=int, default=3, help="of each workload in a process")
    parser.add_argument("--rounds", type=int, default=3, help="of all ways, a process each")
    parser.add_argument("--plain", action="store_true", help="without native taps, even where there are any")
    parser.add_argument("--way", action="append", choices=[way for way in WAYS if way != ALONE])
    parsed = parser.parse_args()
    inside(parsed, os.environ[INSIDE]) if INSIDE in os.environ else outside(parsed, sys.argv[1:])
