"""The process that records: workloads on standard input, recordings on standard output.

What vLLM prints goes to standard error, so that it cannot mix with the recordings.
"""

import logging
import os
import sys
import warnings

import msgspec

from kvref.operations import Trace
from kvref.scheduler.recording import Recording
from kvref.scheduler.workload import Workload
from kvref.targets.vllm.worker import read_body, write_bytes


class Order(msgspec.Struct):
    """Record this workload with this seed."""

    workload: Workload
    seed: int


def record(order: Order) -> Recording:
    """Serve a workload, and give what its manager was asked."""
    from vllm import __version__  # noqa: PLC0415 - costs seconds

    from kvref.targets.vllm.attached import taped  # noqa: PLC0415 - has vLLM
    from kvref.targets.vllm.scheduler.engine import Engine  # noqa: PLC0415 - has vLLM
    from kvref.targets.vllm.scheduler.server import scheduler_for  # noqa: PLC0415 - has vLLM

    workload, ended = order.workload, None
    with taped() as tapes, scheduler_for(workload) as scheduler:
        try:
            Engine(workload, order.seed, scheduler).run()
        except Exception as error:  # noqa: BLE001 - what a scheduler dies of is part of the recording
            ended = f"{type(error).__name__}: {error}"
    pairs = tapes[0].pairs()
    trace = Trace(
        tapes[0].configuration,
        tuple(operation for operation, _ in pairs),
        seed=order.seed,
        note=f"vLLM {__version__}'s scheduler: {workload.shows}",
    )
    observations = tuple(observation for _, observation in pairs)
    return Recording(workload.name, order.seed, __version__, trace, observations, ended)


def main() -> None:
    """Record what is asked for, until nothing more is."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    from kvref.targets.vllm.scheduler.server import prepare  # noqa: PLC0415 - prints, as vLLM does

    prepare()
    decoder = msgspec.msgpack.Decoder(Order)
    while (body := read_body(sys.stdin.buffer)) is not None:
        write_bytes(answers, msgspec.msgpack.encode(record(decoder.decode(body))))


if __name__ == "__main__":
    main()
