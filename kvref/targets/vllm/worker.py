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
MOST_BYTES = 1 << 28


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
    """The body of the next message, None if the stream ends before it is whole.

    Raises ValueError if it is said to be longer than any message.
    """
    prefix = stream.read(LENGTH_BYTES)
    length = int.from_bytes(prefix, "big")
    if length > MOST_BYTES:
        raise ValueError(f"a message of {length} bytes is announced")
    body = stream.read(length) if len(prefix) == LENGTH_BYTES else b""
    return body if body and len(body) == length else None


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
