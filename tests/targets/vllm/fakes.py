"""Workers that do as they are told, and what is told of them."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kvref.errors import UserError
from kvref.targets.capabilities import Capabilities
from kvref.targets.vllm.target import VllmTarget
from kvref.targets.vllm.worker import Answer, Hello

SOON = 20.0
"""Seconds within which every failure is told."""

PATIENCE = 2.0
"""Seconds that a worker is given. A fake one starts in far less."""

PREAMBLE = """\
import os, signal, sys, time
from pathlib import Path
Path({pid!r}).write_text(str(os.getpid()))
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
def send(raw):
    out.write(raw)
    out.flush()
def receive():
    length = int.from_bytes(sys.stdin.buffer.read(4), "big")
    return sys.stdin.buffer.read(length)
def say(text):
    print(text, file=sys.stderr, flush=True)
"""

Fake = Callable[[str], Path]
Open = Callable[[str], VllmTarget]


def message(answer: Answer) -> bytes:
    body = msgspec.msgpack.encode(answer)
    return len(body).to_bytes(4, "big") + body


NONE = frozenset[str]()
NOTHING = Capabilities("vllm 0.23.0", NONE, NONE, NONE, NONE, False, False, False, False, False)  # noqa: FBT003
HELLO = f"send({message(Hello('0.23.0', NOTHING))!r})\n"


def told_by(act: Callable[[], object]) -> str:
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        act()
    assert time.monotonic() - started < SOON
    text = str(caught.value)
    assert "\n" not in text
    return text


def assert_nothing_left(pid: Path) -> None:
    """The worker is gone, though a shell had started it, and so is the folder that it saw us through."""
    deadline = time.monotonic() + SOON
    number = int(pid.read_text())
    while is_alive(number):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not list((pid.parent / "scratch").iterdir())


def is_alive(number: int) -> bool:
    """Whether the process runs: one that has ended may still wait to be collected."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
