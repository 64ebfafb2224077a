"""The workloads of vLLM's real scheduler, recorded in memory: run by the interpreter that has vLLM.

`workloads.py TAPS.so` prints a line a workload: how many entries its recordings have, and digests of all that they
say but for what recording has cost, with plain and native taps. Keys are no secret here: they are the same each time.
"""

import hashlib
import importlib.util
import logging
import secrets
import sys
from collections.abc import Callable
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
from kvref.targets.vllm.scheduler.server import prepare, schedulers_for
from kvref.targets.vllm.telling import COST

WAYS: tuple[dict[str, Any], ...] = ({"tokens": "keep", "snapshots": 20}, {"tokens": "hash", "blocks": False})


def native_of(told: str) -> Any:
    """The native taps of a file."""
    spec = importlib.util.spec_from_file_location("native_taps", told)
    if spec is None or spec.loader is None:
        raise ImportError(told)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(workload: Workload, build: Callable[[], Any], own: Any, options: dict[str, Any]) -> list[Any]:
    """What the recording of a workload has."""
    all_notes: list[Notes] = []

    def opening(manager: Any, configuration: Configuration) -> None:
        all_notes.append(Notes(own))
        Recorder(manager, configuration, all_notes[-1], **options)

    detach = attach(opening)
    try:
        with suppress(Exception):  # some of them raise, as they are to
            Engine(workload, 0, build()).run()
    finally:
        detach()
    (notes,) = all_notes
    return [entry for entry in notes.take(len(notes)) if entry[0] != COST]


def main() -> None:
    """Record each workload in two ways, with both."""
    logging.disable(logging.WARNING)
    secrets.token_bytes = lambda nbytes=None: b"k" * (nbytes or 0)
    prepare()
    native = native_of(sys.argv[1])
    for workload in WORKLOADS:
        with schedulers_for(workload) as build:
            digests = []
            for own in (taps, native):
                made = [entry for options in WAYS for entry in entries(workload, build, own, options)]
                digests.append(hashlib.sha256(msgspec.msgpack.encode(made)).hexdigest())
        sys.stdout.write(f"{workload.name} {len(made)} {' '.join(digests)}\n")


if __name__ == "__main__":
    main()
