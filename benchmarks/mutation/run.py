"""Mutation testing of the two managers, where the fuzzer's comparison is all that kills.

`python benchmarks/mutation/run.py optimized|reference [--sample N --seed S] [--cases N] [--again survivors]`:
every mutant of one manager is held, in a process of its own, against what the other manager showed on
cases drawn beforehand, operation for operation, answers and state. The unchanged managers keep every
invariant on these cases, so a mutant that breaks one shows a difference. A mutant is killed by the first
difference, by what it raises, or by not coming to an end. Results are kept after each mutant, and a run
that was stopped goes on where it was: nothing is run twice.
"""

import argparse
import json
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult
from deck import Drawn, Fate, draw_deck, try_on
from generate import ROOT, begin, mutated, parsed, sample

from kvref.operations import Configuration
from kvref.targets.inprocess import InProcessSession
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from kvref.zoo.copies import copy_of

SESSIONS: dict[str, type[InProcessSession]] = {"optimized": OptimizedSession, "reference": ReferenceSession}

CASE_SECONDS = 2
"""A case of sixty operations that takes so much processor time never ends."""

MOST_SECONDS = 120
TELL_SECONDS = 60
MOST_MEMORY = 6 << 30


class _NeverEndsError(Exception):
    """A case took too long."""


def play(manager: str, item: WorkItem, deck: list[Drawn]) -> Fate:
    """Try one mutant in this process."""
    try:
        module = copy_of(f"kvref.{manager}", "mutant", mutated(item))
        base = SESSIONS[manager]
        mutant = type("Mutant", (base,), {"manager_class": module.KVCacheManager})
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything
        return Fate(f"import: {type(error).__name__}", 0, 0, 0.0)

    def overdue(*_: object) -> None:
        raise _NeverEndsError

    def opener(configuration: Configuration) -> InProcessSession:
        signal.setitimer(signal.ITIMER_VIRTUAL, CASE_SECONDS)
        session: InProcessSession = mutant(configuration)
        return session

    signal.signal(signal.SIGVTALRM, overdue)
    fate = try_on(opener, deck)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return fate


def in_a_process(run: Callable[[], Fate]) -> Fate:
    """Run in a fork of this process, which shares the cases; what it does to itself ends with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
            warnings.simplefilter("ignore", SyntaxWarning)
            os.write(writing, json.dumps(run()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        told = answer.read()
    _, status, usage = os.wait4(child, 0)
    if told:
        return Fate(*json.loads(told))
    return Fate(f"ended by signal {status & 127}" if status else "no answer", 0, 0, usage.ru_utime)


def pending(db: WorkDB, again: str) -> Iterator[WorkItem]:
    """What was not run yet, or, a second time, what survived."""
    if again == "survivors":
        lived = {job for job, result in db.results if result.test_outcome == TestOutcome.SURVIVED}
        yield from (item for item in db.work_items if item.job_id in lived)
    else:
        yield from db.pending_work_items


def keep(db: WorkDB, item: WorkItem, fate: Fate) -> None:
    """Write a result where Cosmic Ray's own reports find it."""
    outcome = TestOutcome.SURVIVED if fate.killer is None else TestOutcome.KILLED
    db.set_result(item.job_id, WorkResult(WorkerOutcome.NORMAL, json.dumps(fate._asdict()), outcome))


def main() -> None:
    """Run what is pending."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manager", choices=sorted(SESSIONS))
    parser.add_argument(
        "--sample", type=int, help="run so many mutants, drawn by seed; all of them otherwise"
    )
    parser.add_argument("--seed", type=int, default=1, help="draws the sample and the cases")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--again", choices=["survivors"], default="", help="run survivors once more")
    parser.add_argument("--session", type=Path)
    options = parser.parse_args()
    os.chdir(ROOT)
    path = options.session or ROOT / "dist" / f"mutation-{options.manager}.sqlite"
    path.parent.mkdir(exist_ok=True)
    with use_db(str(path), WorkDB.Mode.create) as db:
        if not db.num_work_items:
            begin(db, f"kvref.{options.manager}")
        skipped = {job for job, result in db.results if result.worker_outcome == WorkerOutcome.SKIPPED}
        live = [item for item in db.work_items if item.job_id not in skipped]
        # In the order of the draw: a run that is stopped early has seen something of every module.
        chosen = sample(live, options.sample or len(live), options.seed)
        due = {item.job_id for item in pending(db, options.again)}
        waiting = [item for item in chosen if item.job_id in due]
        [other] = [session for name, session in SESSIONS.items() if name != options.manager]
        began = time.process_time()
        deck = draw_deck(other, options.seed, options.cases)
        drawing = time.process_time() - began
        unchanged = try_on(SESSIONS[options.manager], deck)
        if unchanged.killer is not None:
            raise SystemExit(f"the unchanged manager differs in case {unchanged.cases}: {unchanged.killer}")
        print(
            f"{len(waiting)} mutants; {options.cases} cases, drawn in {drawing:.0f} s, played in "
            f"{unchanged.seconds:.0f} s of processor time",
            flush=True,
        )
        # What a copy leaves unchanged is compiled here, once for all processes.
        copy_of(f"kvref.{options.manager}", "mutant", {})
        told = time.monotonic()
        lived = 0
        for number, item in enumerate(waiting, 1):
            parsed(item.mutations[0].module_path)
            fate = in_a_process(partial(play, options.manager, item, deck))
            keep(db, item, fate)
            lived += fate.killer is None
            if time.monotonic() - told > TELL_SECONDS or number == len(waiting):
                told = time.monotonic()
                print(f"{number} of {len(waiting)} run, {lived} live", flush=True)


if __name__ == "__main__":
    main()
