"""The process beside vLLM: reads batches of cases from standard input, answers on standard output.

A message is its length in 4 bytes, big-endian, and a msgpack body. What vLLM prints goes to
standard error, so that it cannot mix with the answers.
"""

import os
import sys
import time
from typing import IO

import msgspec

from kvref.operations import Observation, Trace
from kvref.targets.base import CaseResult, picture_case, run_case

LENGTH_BYTES = 4


class Hello(msgspec.Struct, tag=True):
    """Sent once, when vLLM is imported."""

    release: str


class Run(msgspec.Struct, tag=True):
    """Run these cases for their digests."""

    traces: tuple[Trace, ...]


class Show(msgspec.Struct, tag=True):
    """Run this case and send everything that was seen."""

    trace: Trace


class Ran(msgspec.Struct, tag=True):
    """The digests of a batch, and the processor time that this process has used since it began."""

    results: tuple[CaseResult, ...]
    cpu_seconds: float


class Shown(msgspec.Struct, tag=True):
    """What was seen of one case: observations, and views as msgpack."""

    observations: tuple[Observation, ...]
    views: tuple[msgspec.Raw, ...]


Question = Run | Show
Answer = Hello | Ran | Shown


def write_message(stream: IO[bytes], message: Question | Answer) -> None:
    """Send one message."""
    body = msgspec.msgpack.encode(message)
    stream.write(len(body).to_bytes(LENGTH_BYTES, "big") + body)
    stream.flush()


def read_body(stream: IO[bytes]) -> bytes | None:
    """The body of the next message, None at the end of the stream or in the middle of a message."""
    length = stream.read(LENGTH_BYTES)
    body = stream.read(int.from_bytes(length, "big")) if len(length) == LENGTH_BYTES else b""
    return body or None


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer questions until there are no more."""
    import vllm  # noqa: PLC0415 - costs seconds

    from kvref.targets.vllm.session import VllmSession  # noqa: PLC0415

    write_message(answers, Hello(vllm.__version__))
    decoder = msgspec.msgpack.Decoder(Question)
    while (body := read_body(questions)) is not None:
        question = decoder.decode(body)
        if isinstance(question, Run):
            results = tuple(run_case(VllmSession, trace) for trace in question.traces)
            write_message(answers, Ran(results, time.process_time()))
        else:
            pictures = picture_case(VllmSession, question.trace)
            views = tuple(msgspec.Raw(msgspec.msgpack.encode(p.view)) for p in pictures)
            write_message(answers, Shown(tuple(p.observation for p in pictures), views))


if __name__ == "__main__":
    own_output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, own_output)
