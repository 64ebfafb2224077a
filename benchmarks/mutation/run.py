"""Mutation testing of the two managers, where the fuzzer's comparison is all that kills.

`python benchmarks/mutation/run.py optimized|reference [--cases N] [--seed S] [--again survivors|unexplained]
[--enough N] [--sample N] [--workers N]`: every mutant of one manager is held, in a process of its own, against what the other manager
showed on cases drawn beforehand, operation for operation, answers and state. The unchanged managers keep
every invariant on these cases, so a mutant that breaks one shows a difference. A mutant is killed by the
first difference, by what it raises, or by not coming to an end; one that was run again has had what it was
given in all runs. Results are kept after each mutant, and a run that was stopped goes on where it was:
nothing is run twice. The exit code is 1 if a survivor of the manager has no reason.
"""

import argparse
import gc
import math
import os
import resource
import signal
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import WorkItem
from deck import Drawn, Opener, draw_deck, try_on
from found import Change, Fate, Found
from generate import ROOT, SESSIONS, change_of, keep, kept, modules_of, mutated, parsed, sample, session_of
from survivors import reason_for

from kvref.targets.inprocess import InProcessSession
from kvref.targets.optimized import OptimizedSession
from kvref.targets.reference import ReferenceSession
from kvref.zoo.copies import copy_of

MANAGERS: dict[str, type[InProcessSession]] = {"optimized": OptimizedSession, "reference": ReferenceSession}

CASE_SECONDS = 0.5
"""A case of sixty operations that takes so much processor time never ends; it needs a hundredth of it."""

TELL_SECONDS = 60
MOST_MEMORY = 3 << 30


def play(manager: str, source: Mapping[str, str], deck: list[Drawn]) -> Fate:
    """Try one mutant in this process, which ends with the first case that does not."""
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_VIRTUAL, CASE_SECONDS)
    try:
        module = copy_of(f"kvref.{manager}", "mutant", source)
    except Exception as error:  # noqa: BLE001 - a mutant may raise anything
        return Fate(f"import: {type(error).__name__}", 0, 0, 0.0)

    def made(*given: object, **named: object) -> object:
        # With the manager of the next case begins the next case.
        signal.setitimer(signal.ITIMER_VIRTUAL, CASE_SECONDS)
        return module.KVCacheManager(*given, **named)

    fate = try_on(Opener(MANAGERS[manager], made), deck)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return fate


def in_processes(
    manager: str, items: Iterable[WorkItem], deck: list[Drawn], workers: int
) -> Iterator[tuple[WorkItem, Change, Fate]]:
    """Try so many at a time, each in a fork of this process; what it does to itself ends with it."""
    running: dict[int, tuple[WorkItem, int]] = {}
    for item in items:
        parsed(item.mutations[0].module_path)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            with suppress(BaseException):
                resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
                warnings.simplefilter("ignore", SyntaxWarning)
                source = mutated(item)
                os.write(writing, msgspec.json.encode(change_of(item, source)) + b"\n")
                os.write(writing, msgspec.json.encode(play(manager, source, deck)))
            os._exit(0)
        os.close(writing)
        running[child] = item, reading
        if len(running) == workers:
            yield ended(running)
    while running:
        yield ended(running)


def ended(running: dict[int, tuple[WorkItem, int]]) -> tuple[WorkItem, Change, Fate]:
    """What the next of these processes has told by its end; what it tells fits into its pipe."""
    child, status, usage = os.wait3(0)
    item, reading = running.pop(child)
    with os.fdopen(reading, "rb") as answer:
        change, told = answer.read().split(b"\n")
    if told:
        fate = msgspec.json.decode(told, type=Fate)
    else:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        how = {0: "no answer", signal.SIGVTALRM: "never ends"}.get(number, f"signal {number}")
        fate = Fate(how, 0, 0, usage.ru_utime)
    return item, msgspec.json.decode(change, type=Change), fate


def due(db: WorkDB, again: str, enough: float = math.inf) -> list[WorkItem]:
    """What was not run yet, or what survived until now, given fewer cases than are enough."""
    if not again:
        return list(db.pending_work_items)
    lived = {
        job: found.change
        for job, found in kept(db)
        if found.fate.killer is None and found.fate.cases < enough
    }
    items = [item for item in db.work_items if item.job_id in lived]
    return [item for item in items if again == "survivors" or not reason_for(lived[item.job_id])]


def run_all(manager: str, waiting: list[tuple[WorkDB, WorkItem]], deck: list[Drawn], workers: int) -> None:
    """Try these mutants, and keep what becomes of each."""
    owners = {item.job_id: db for db, item in waiting}
    earlier = {job: found.fate for db in set(owners.values()) for job, found in kept(db)}
    # What a copy leaves unchanged is compiled here, once for all processes, which collect their own garbage.
    copy_of(f"kvref.{manager}", "mutant", {})
    gc.freeze()
    began = told = time.monotonic()
    lived = 0
    tried = in_processes(manager, [item for _, item in waiting], deck, workers)
    for number, (item, change, newly) in enumerate(tried, 1):
        fate = newly.after(earlier[item.job_id]) if item.job_id in earlier else newly
        keep(owners[item.job_id], item, Found(change, fate))
        lived += fate.killer is None
        if time.monotonic() - told > TELL_SECONDS or number == len(waiting):
            told = time.monotonic()
            rate = number / (told - began)
            print(f"{number} of {len(waiting)} run, {rate:.1f} a second, {lived} live", flush=True)


def main() -> None:
    """Run what is due."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manager", choices=sorted(MANAGERS))
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="draws the cases, and the sample")
    parser.add_argument("--again", choices=["survivors", "unexplained"], default="", help="run these again")
    parser.add_argument(
        "--enough", type=int, default=math.inf, help="again only what was given fewer cases than this"
    )
    parser.add_argument("--sample", type=int, help="run so many of what is due, drawn by seed; all otherwise")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time")
    parser.add_argument("--sessions", type=Path, default=SESSIONS)
    options = parser.parse_args()
    os.chdir(ROOT)
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(session_of(path, options.sessions)) for path in modules_of(options.manager)
        ]
        owners = {item.job_id: db for db in sessions for item in db.work_items}
        items = [item for db in sessions for item in due(db, options.again, options.enough)]
        # In the order of a draw: a run that is stopped early has seen something of every module.
        chosen = sample(items, options.sample or len(items), options.seed)
        [other] = [session for name, session in MANAGERS.items() if name != options.manager]
        began = time.process_time()
        deck = draw_deck(Opener(other, other.manager_class), options.seed, options.cases)
        drawing = time.process_time() - began
        own = MANAGERS[options.manager]
        unchanged = try_on(Opener(own, own.manager_class), deck)
        if unchanged.killer is not None:
            raise SystemExit(f"the unchanged manager differs in case {unchanged.cases}: {unchanged.killer}")
        print(
            f"{len(chosen)} mutants; {options.cases} cases, drawn in {drawing:.0f} s, played in "
            f"{unchanged.seconds:.1f} s of processor time",
            flush=True,
        )
        run_all(options.manager, [(owners[item.job_id], item) for item in chosen], deck, options.workers)
        unexplained = sum(len(due(db, "unexplained")) for db in sessions)
    if unexplained:
        raise SystemExit(f"{unexplained} survivors without a reason: see benchmarks/mutation/report.py")


if __name__ == "__main__":
    main()
