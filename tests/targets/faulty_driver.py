"""A driver with a fault: `python faulty_driver.py FAULT [BASE]`.

BASE is the dictionary of examples/drivers/python, or `reference`. A fault of `START` shows in the first
answer, any other one when a request is freed.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Message = dict[str, Any]
Base = Callable[[Message], Message | None]


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def wait() -> None:
    time.sleep(600)


def answers_of(answer: Message, name: str) -> Iterator[Message]:  # noqa: C901, PLR0912, PLR0915 - a list of faults
    """What is answered instead of `answer`."""
    match name:
        case "hangs" | "hangs at first":
            wait()
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exits":
            sys.exit("my cache is on fire\nnote: run it with a backtrace")
        case "rubbish":
            write("I am fine\n")
        case "half a line":
            write('{"id":')
            wait()
        case "half a line, and dies":
            write('{"id":')
            sys.exit(0)
        case "a long line":
            for _ in range(100):
                write("[" * 1_000_000)
            wait()
        case "a late answer":
            yield answer | {"id": answer["id"] - 1}
        case "two answers":
            yield answer
            yield answer
        case "another answer":
            yield {"type": "opened", "id": answer["id"]}
        case "too few":
            yield answer | {"observations": answer["observations"][:-1]}
        case "too many":
            yield answer | {"observations": [*answer["observations"], {}]}
        case "closes its output":
            os.close(1)
            wait()
        case "closes its input":
            yield answer
            os.close(0)
            wait()
        case "shouts":
            sys.stderr.write("shouting\n" * 1_000_000)
            yield answer
        case "shouts for ever":
            while True:
                sys.stderr.write("shouting\n" * 1_000)
        case "another protocol":
            yield answer | {"protocol": 2, "news": "of version 2"}
        case "an unknown group":
            yield answer | {"capabilities": {"groups": ["fulll"]}}
        case "a silly block":
            yield answer | {"observations": [{"blocks": [[999]]}]}
        case "a negative block":
            yield answer | {"observations": [{"blocks": [[-1]]}]}
        case "a text for a block":
            yield answer | {"observations": [{"blocks": [["one"]]}]}
        case "a block beyond all numbers":
            yield answer | {"observations": [{"blocks": [[2**80]]}]}
        case "another group":
            yield answer | {"observations": [{"blocks": [[], []]}]}
        case "an unknown field":
            yield answer | {"observations": [{"block": [[1]]}]}
        case "has a child, and hears nothing":
            yield answer


START = ("another protocol", "an unknown group", "hangs at first")


def dictionary() -> Base:
    path = ROOT / "examples/drivers/python/driver.py"
    spec = importlib.util.spec_from_file_location("driver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answer: Base = module.Driver().answer
    return answer


def reference() -> Base:
    import msgspec  # noqa: PLC0415 - costs more than the faults that need it not

    sys.path.insert(0, str(ROOT))
    from kvref.targets.process_messages import Question  # noqa: PLC0415
    from tests.targets.reference_driver import Driver  # noqa: PLC0415

    driver = Driver("exact")

    def answer(question: Message) -> Message | None:
        told = driver.answer(msgspec.convert(question, Question))
        return None if told is None else json.loads(msgspec.json.encode(told))

    return answer


def is_due(question: Message, name: str) -> bool:
    if name in START:
        return bool(question["type"] == "hello")
    kinds = [call["operation"]["type"] for call in question.get("calls", ())]
    return "Free" in kinds


def main(name: str, base: str = "dictionary") -> None:
    if name == "has a child, and hears nothing":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        sys.stderr.write(f"{os.getpid()} {child.pid}\n")
        Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid}")
    elif "PIDS" in os.environ:
        Path(os.environ["PIDS"]).write_text(f"{os.getpid()}")
    answer_to = reference() if base == "reference" else dictionary()
    for line in sys.stdin:
        question = json.loads(line)
        answer = answer_to(question)
        if answer is None:
            if name == "has a child, and hears nothing":
                wait()
            return
        answers = answers_of(answer, name) if is_due(question, name) else iter([answer])
        for one in answers:
            write(json.dumps(one) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
