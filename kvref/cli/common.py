"""What the subcommands share: the console, exit codes, and how a target is opened."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console

from kvref import jobs
from kvref.errors import UserError
from kvref.judge import Terms
from kvref.targets.base import Target
from kvref.targets.registry import open_target

Asked = Literal["exact", "hits", "safe", "invariants"]
"""What a target is held to: see `kvref fuzz --help`."""

DIVERGED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """A reader that went away is no divergence, as Rich's own exit code 1 would say."""
        raise  # noqa: PLE0704 - called where the error is handled


console = _Console()


def tell(line: str) -> None:
    """Print one line as it is."""
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def needing(module: str, extra: str, what: str) -> Iterator[None]:
    """For imports of what needs a module that is optional. Raises UserError if it is not installed."""
    try:
        yield
    except ModuleNotFoundError as absent:
        if absent.name != module:
            raise
        raise UserError(f"{what} needs {module}: pip install 'kvref[{extra}]'") from absent


def needing_torch(what: str) -> AbstractContextManager[None]:
    """For imports of what needs torch, which is optional, and slow to import."""
    return needing("torch", "dataplane", what)


def opened_target(target: str, python: Path | None) -> Target:
    """The target called `target`. Raises UserError if there is none, or it cannot be had."""
    return open_target(target, python=python, tell=tell)


def agreed_terms(against: str | None, known: Sequence[Path]) -> AbstractContextManager[Terms]:
    """What a target is held against: see `kvref.jobs.agreed_terms`."""
    return jobs.agreed_terms(against, known, lambda name: opened_target(name, None))


def require_positive(value: float | None, name: str) -> None:
    """Raises UserError if an option has a value that is not positive."""
    if value is not None and not value > 0:
        raise UserError(f"{name} {value} is not positive: give at least 1")
