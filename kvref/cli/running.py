"""Runs a user's command in which vLLM finds this project's plugin."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from kvref.errors import UserError
from kvref.targets.vllm.injected import with_plugin

Word = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A word of the command, which may look like an option of ours."""

SECONDS: Final = 0.2
GRACE_SECONDS: Final = 20.0
"""How long a command that was asked to end may take."""


def run(
    command: Iterable[str], variables: Mapping[str, str], is_to_end: Callable[[], bool] = lambda: False
) -> int:
    """Run a command; its exit code. It is ended once `is_to_end`. Raises UserError if it cannot be run."""
    words = list(command)
    if not words:
        raise UserError("no command is given: put it behind --, as in -- vllm serve MODEL")
    with tempfile.TemporaryDirectory(prefix="kvref-") as folder:
        environment = with_plugin(Path(folder), {**os.environ, **variables})
        try:
            process = subprocess.Popen(words, env=environment)  # noqa: S603 - the user's own command
        except OSError as unable:
            raise UserError(f"{words[0]} cannot be run: {unable.strerror}") from unable
        return _wait(process, is_to_end)


def _wait(process: "subprocess.Popen[bytes]", is_to_end: Callable[[], bool]) -> int:
    while True:
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            if is_to_end():
                return _end(process)
        except KeyboardInterrupt:
            # The terminal has told the command, too: it ends as it does without us.
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(process: "subprocess.Popen[bytes]") -> int:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(GRACE_SECONDS)
    process.kill()
    return process.wait()
