"""What recording costs a live manager: vLLM's real scheduler, recorded and not, in one process and in turn.

The same requests go to several schedulers, a few steps of each in turn. Costs are processor time, as a share of
the time that the manager itself takes, which one more scheduler measures: what the engine's thread does more,
and what the writer's thread does beside it.

    python benchmarks/record.py [--steps 400] [--requests 256]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kvref.operations import Configuration
from kvref.record.settings import Settings
from kvref.record.writer import Writer

ROOT = Path(__file__).parents[1]
INSIDE = "KVREF_BENCHMARK_INSIDE"
RELEASE = "0.23.0"
CHUNK = 10
SNAPSHOTS = (100, 10)
KINDS = ("full", "hybrid")


def outside(arguments: argparse.Namespace) -> None:
    """Run this file in the interpreter that has vLLM, and print its table."""
    from kvref.targets.vllm import environment, interpreter  # noqa: PLC0415 - not inside

    python = environment.python_for(RELEASE, progress=print)
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
        variables = interpreter.variables(Path(folder)) | {INSIDE: "1"}
        words = ["--steps", str(arguments.steps), "--requests", str(arguments.requests)]
        command = [str(python), __file__, *words]
        told = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    print(table(json.loads(told.stdout.splitlines()[-1])))


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    head = [
        "| groups | what is recorded | engine's thread | writer's thread | bytes a call |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    return "\n".join([*head, *map(line, results)])


def line(row: dict[str, Any]) -> str:
    """One way to record."""
    costs = f"{row['engine']:+.1%} | {row['writer']:.1%} | {row['bytes']:.1f}"
    return f"| {row['kind']} | {row['name']} | {costs} |"


class Load:
    """One scheduler under a load that follows from a seed: so many requests run at any time."""

    def __init__(self, harness: Any, kind: str, requests: int) -> None:
        specs = {"full": [harness.full()], "hybrid": [harness.full()] + [harness.window(256)] * 1}[kind]
        self.harness = harness
        self.scheduler = harness.build(*specs, blocks=20_000, budget=8192)
        self.scheduler.max_num_running_reqs = requests
        self.requests = requests
        self.choices = random.Random(1)  # noqa: S311 - a load, not a secret
        self.arrived = 0
        self.seconds = 0.0

    def step(self) -> None:
        """One step, in which requests that have ended are replaced."""
        scheduler, choices, harness = self.scheduler, self.choices, self.harness
        while len(scheduler.requests) < self.requests:
            shared = [choices.randrange(8)] * choices.choice((0, 128, 256))
            prompt = shared + [choices.randrange(1000) for _ in range(choices.randrange(64, 512))]
            scheduler.add_request(
                harness.request(f"r{self.arrived}", prompt, outputs=choices.randrange(50, 200))
            )
            self.arrived += 1
        began = time.thread_time()
        plan = scheduler.schedule()
        self.seconds += time.thread_time() - began
        sampled = {
            name: [7]
            for name, span in harness.spans(plan).items()
            if span.stop >= scheduler.requests[name].num_tokens
        }
        reply = harness.reply(plan, sampled)
        began = time.thread_time()
        scheduler.update_from_output(plan, reply)
        self.seconds += time.thread_time() - began


class Timed:
    """Sums up what a manager's methods take, less what a clock takes to be read."""

    METHODS = (
        "allocate_slots",
        "get_computed_blocks",
        "free",
        "cache_blocks",
        "remove_skipped_blocks",
        "evict_blocks",
        "reset_prefix_cache",
        "get_blocks",
        "get_num_common_prefix_blocks",
        "new_step_starts",
        "take_events",
        "take_new_block_ids",
        "make_prefix_cache_stats",
    )

    def __init__(self, manager: Any) -> None:
        self.each: list[int] = []
        """Nanoseconds of every call, the clock's own included."""
        self.names: list[str] = []
        """Of the same calls, the methods'."""
        self.clock = min(self._read() for _ in range(2000))
        self.wrap(manager, self.METHODS)

    def wrap(self, owner: Any, names: Iterable[str]) -> None:
        """Time these methods, too, as far as there are any."""
        for name in names:
            if hasattr(owner, name):
                setattr(owner, name, self._around(name, getattr(owner, name)))

    def _read(self) -> int:
        began = time.perf_counter_ns()
        return time.perf_counter_ns() - began

    def _around(self, name: str, method: Any) -> Any:
        note, called = self.each.append, self.names.append

        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return method(*arguments, **named)
            finally:
                note(time.perf_counter_ns() - began)
                called(name)

        return call

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return len(self.each)

    @property
    def seconds(self) -> float:
        """What the methods themselves took."""
        return (sum(self.each) - self.calls * self.clock) / 1e9


def inside(arguments: argparse.Namespace) -> None:
    """Measure, beside vLLM."""
    sys.path.append(str(ROOT / "reproducers"))
    import scheduler as harness  # noqa: PLC0415 - it imports vLLM

    recording = Recording()
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
        results = [
            row
            for kind in KINDS
            for row in measured(
                harness, recording, kind, arguments.steps, arguments.requests, Path(folder) / kind
            )
        ]
    print(json.dumps(results))


def measured(
    harness: Any, recording: "Recording", kind: str, steps: int, requests: int, folder: Path
) -> Iterator[dict[str, Any]]:
    """The costs of every way to record."""
    folder.mkdir()
    ways = {
        "calls": Settings(folder / "1", blocks=False),
        "calls, token ids kept": Settings(folder / "2", "keep", blocks=False),
        "calls and blocks": Settings(folder / "3"),
    }
    for every in SNAPSHOTS:
        ways[f"and the state every {every} steps"] = Settings(folder / f"s{every}", snapshots=every)
    recording.settings = None
    plain, timed = Load(harness, kind, requests), Load(harness, kind, requests)
    own = Timed(timed.scheduler.kv_cache_manager)
    recorded = {}
    for name, way in ways.items():
        recording.settings = way
        load = Load(harness, kind, requests)
        recorded[name] = load, recording.writers[way.path]
    everyone = [plain, timed, *(one for one, _ in recorded.values())]
    for load in everyone:  # the first prompts are all prefill
        for _ in range(CHUNK):
            load.step()
        load.seconds = 0.0
    own.each.clear()
    before = {name: writer.cpu_seconds for name, (_, writer) in recorded.items()}
    for chunk in range(steps // CHUNK):
        turn = everyone[chunk % len(everyone) :] + everyone[: chunk % len(everyone)]
        for load in turn:
            for _ in range(CHUNK):
                load.step()
    for name, (load, writer) in recorded.items():
        writer.close()
        yield {
            "kind": kind,
            "name": name,
            "engine": (load.seconds - plain.seconds) / own.seconds,
            "writer": (writer.cpu_seconds - before[name]) / own.seconds,
            "bytes": ways[name].path.stat().st_size / own.calls,
            "own": own.seconds,
            "share": own.seconds / timed.seconds,
        }


class Recording:
    """Records managers as it is told to when they are built; vLLM's classes stay as it has changed them."""

    def __init__(self) -> None:
        from kvref.targets.vllm.attached import attach  # noqa: PLC0415 - it imports vLLM

        self.writers: dict[Path, Writer] = {}
        self.settings: Settings | None = None
        attach(self._opening)

    def _opening(self, manager: Any, configuration: Configuration) -> None:
        from kvref.targets.vllm.recorder import Recorder  # noqa: PLC0415 - it imports vLLM

        way = self.settings
        if way is not None:
            writer = self.writers[way.path] = way.writer(configuration, RELEASE, lambda _: None)
            options = {"tokens": way.tokens, "blocks": way.blocks, "snapshots": way.snapshots}
            Recorder(manager, configuration, writer.notes, **options)  # type: ignore[arg-type] # as they are


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--requests", type=int, default=256)
    parsed = parser.parse_args()
    (inside if INSIDE in os.environ else outside)(parsed)
