"""The workloads of vLLM's real scheduler, recorded in memory: run by the interpreter that has vLLM.

`workloads.py plain|TAPS.so NAME ...` prints a line a workload: how many entries its recording has, and a digest of
all that it says but for what recording has cost. Keys are no secret here, so that it says the same each time.
"""

import hashlib
import importlib.util
import logging
import secrets
import sys
from contextlib import suppress
from typing import Any

import msgspec

from kvref.operations import Configuration
from kvref.record import taps
from kvref.record.notes import Notes
from kvref.scheduler.workload import Workload
from kvref.scheduler.workloads import WORKLOADS
from kvref.targets.vllm.attached import attach
from kvref.targets.vllm.recorder import Recorder
from kvref.targets.vllm.scheduler.engine import Engine
from kvref.targets.vllm.scheduler.server import prepare, scheduler_for
from kvref.targets.vllm.telling import COST


def taps_of(told: str) -> Any:
    """The plain taps, or the native ones of a file."""
    if told == "plain":
        return taps
    spec = importlib.util.spec_from_file_location("native_taps", told)
    if spec is None or spec.loader is None:
        raise ImportError(told)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(workload: Workload, own: Any, **options: Any) -> list[Any]:
    """What the recording of a workload has."""
    all_notes: list[Notes] = []

    def opening(manager: Any, configuration: Configuration) -> None:
        all_notes.append(Notes(own))
        Recorder(manager, configuration, all_notes[-1], **options)

    detach = attach(opening)
    try:
        with scheduler_for(workload) as scheduler, suppress(Exception):  # some of them raise, as they are to
            Engine(workload, 0, scheduler).run()
    finally:
        detach()
    (notes,) = all_notes
    return [entry for entry in notes.take(len(notes)) if entry[0] != COST]


def main() -> None:
    """Record each workload in two ways."""
    told, *names = sys.argv[1:]
    logging.disable(logging.WARNING)
    secrets.token_bytes = lambda nbytes=None: b"k" * (nbytes or 0)
    prepare()
    own = taps_of(told)
    for workload in WORKLOADS:
        if workload.name in names:
            made = [
                *entries(workload, own, tokens="keep", snapshots=5),
                *entries(workload, own, tokens="hash", blocks=False),
            ]
            digest = hashlib.sha256(msgspec.msgpack.encode(made)).hexdigest()
            sys.stdout.write(f"{workload.name} {len(made)} {digest}\n")


if __name__ == "__main__":
    main()
