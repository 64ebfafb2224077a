"""What is really said between kvref and a driver, as docs/drivers.md shows it.

`python -m tests.targets.exchange` prints it.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kvref.errors import ConfigurationError, WrongAnswerError
from kvref.operations import (
    Allocate,
    AppendTokens,
    Configuration,
    Evict,
    Free,
    FullGroup,
    GetBlocks,
    Lookup,
    NewRequest,
    NewStep,
    Operation,
    StepEnds,
    Trace,
)
from kvref.targets.process import ProcessTarget
from kvref.targets.process_child import Child

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/drivers.md"
SCHEMA = ROOT / "docs/driver.schema.json"
REFERENCE = shlex.join([sys.executable, "-m", "tests.targets.reference_driver", "exact"])
DICTIONARY = shlex.join([sys.executable, str(ROOT / "examples/drivers/python/driver.py")])

SMALL = Configuration(
    (FullGroup(2),), num_blocks=4, max_model_len=8, scheduler_block_size=2, hash_block_size=2
)
UNEVEN = Configuration(
    (FullGroup(2),), num_blocks=4, max_model_len=8, scheduler_block_size=3, hash_block_size=2
)
STEP: tuple[Operation, ...] = (
    NewRequest("a", (5, 6, 7), salt="s"),
    NewStep(),
    Lookup("a"),
    Allocate("a", 0, 3, hit=0),
    GetBlocks("a"),
    StepEnds(),
    AppendTokens("a", (8,)),
)
Said = list[tuple[Any, Any]]


@contextmanager
def overheard() -> Iterator[Said]:
    """Every question and its answer, as JSON."""
    said: Said = []
    ask, close = Child.ask, Child.close

    def listen(child: Child, line: bytes, seconds: float) -> bytes:
        answer = ask(child, line, seconds)
        said.append((json.loads(line), json.loads(answer)))
        return answer

    def part(child: Child, farewell: bytes) -> None:
        said.append((json.loads(farewell), None))
        close(child, farewell)

    Child.ask, Child.close = listen, part  # type: ignore[method-assign, assignment]
    try:
        yield said
    finally:
        Child.ask, Child.close = ask, close  # type: ignore[method-assign]


def exchange() -> Said:
    """The exchanges of the page, in order."""
    with overheard() as said:
        exact = ProcessTarget(REFERENCE, "exact")
        with suppress(ConfigurationError):
            exact.opener(UNEVEN)
        exact.run([Trace(SMALL, STEP[:4])])
        session = exact.opener(SMALL)
        session.apply(STEP[0])
        session.view()
        session.apply(Evict((4,)))
        exact.close()
        hits = ProcessTarget(DICTIONARY, "hits")
        session = hits.opener(SMALL)
        for operation in (*STEP, Free("a"), NewRequest("b", (9, 9, 9))):
            session.apply(operation)
        with suppress(WrongAnswerError):
            session.apply(Allocate("b", 0, 3, lookahead=2))
        hits.close()
    return said


def shown(page: str) -> list[Any]:
    """The messages on the page, in order."""
    return [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]


if __name__ == "__main__":
    for question, answer in exchange():
        sys.stdout.write(f"-> {json.dumps(question)}\n<- {json.dumps(answer)}\n\n")
